"""The entry point of `mdctl` and of `python -m mdctl`."""

import os
import sys


def run() -> None:
    """Run the command line of this process and leave with its exit code."""
    if sys.argv[1:2] == ["__complete"]:  # a shell asks what fits; it gets its answer before anything is imported
        from mdctl.cli.system import completion

        sys.exit(completion.answer(sys.argv[2:]))
    from mdctl import computer
    from mdctl.cli import streams

    os.environ.update(computer.patience())

    streams.steady()
    try:
        with streams.waiting(sys.argv[1:]):
            from mdctl.cli.app import main

            code = main()
    except KeyboardInterrupt:  # while it was imported
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    run()
