"""What each `MD-...` code means, in a sentence or two: the last word of an error, and `code` in JSON."""

CODES = {
    "MD-ARCHIVE": "The archive holds something that mdctl export never puts into one, or its sizes and hashes do "
    "not agree. It was refused whole; ask whoever made it for a fresh one.",
    "MD-BUG": "A fault of mdctl itself, not yours. The traceback is kept in the log that is named; mdctl "
    "doctor --report gives what is needed to mend it.",
    "MD-BUSY": "Another process is changing this project or folder; the message names it. Wait for it (--wait 10m "
    "does): the lock ends with its process, however that ends.",
    "MD-CHILD": "A program that mdctl started could not be started, took too long or said too much, and was ended.",
    "MD-CLIP": "A file is no video or picture that mdctl reads: what it is, or what is wrong with it, stands "
    "beside it.",
    "MD-CLIP-CHANGED": "A clip, or its copy, is not what it was when the project was made. Copy the original to its "
    "place, or make a project of the clip as it is now.",
    "MD-CLIP-NOTFOUND": "No file has this name or fits this pattern. Patterns are for clips only; look at the folder.",
    "MD-COMPUTER": "This computer lacks something: a program, a device, a right to write. mdctl doctor tries it "
    "all out.",
    "MD-CONVERT": "The file is no weight file of the official implementation, or the process that reads such "
    "files apart could not make sense of it.",
    "MD-DAMAGED": "A file of a project or of a base model is missing, or is not what was written or pulled. What mends "
    "it stands beside it; mdctl models pull brings a base model again.",
    "MD-DEMO": "The readers do not see in the demo's videos what they should show. Report it with the contact sheet.",
    "MD-DIVERGED": "Training broke down: gradients were not finite several times in a row. Train again with a "
    "lower rate (--lr 1e-4 --fresh) or in --precision fp32.",
    "MD-ERROR": "A fault without a kind of its own; what to do stands in the message.",
    "MD-EXISTS": "The name is taken, and nothing is ever replaced by a new thing of the same name. Take another name.",
    "MD-FFMPEG": "There is no ffmpeg, or this one lacks something. pip install imageio-ffmpeg brings one that "
    "has everything; MDCTL_FFMPEG says which is used.",
    "MD-IN-USE": "Somebody uses what was to go: projects were taught on this base model, or a training or a "
    "video reads it now.",
    "MD-INPUT": "A value, a file or a prompt cannot be used; the message says which and why.",
    "MD-LEFT-OUT": "One file among several is passed over; why stands beside it. The others are used.",
    "MD-LICENCE": "The hub states another licence for this model than mdctl knew of. Read it before you use the model.",
    "MD-LINKED": "A page points at video files beside it and does not hold them, so it has to be moved together "
    "with them.",
    "MD-LORA-MISFIT": "Weights do not fit the layers of this base model: other names, shapes, or numbers that are not "
    "finite. Use the model that they were trained on.",
    "MD-LORA-NOEFFECT": "The base model answers the same with and without what was learned, so a video would show "
    "nothing of it. Train longer, use another save or a higher strength.",
    "MD-MIX-MODEL": "Two projects were trained on different base models, and their layers do not match. Train one "
    "of them again on the model of the other.",
    "MD-MODEL": "A base model is not on this computer, or the hub cannot be reached. mdctl models pull NAME "
    "brings it; starter is always here.",
    "MD-MODEL-CHANGED": "The base model is not the one that the project was trained on: its weights are others. Bring "
    "the old ones back, or train again with --fresh.",
    "MD-MOVED": "The repository of this model has another name on the hub by now; what is pulled is the same.",
    "MD-NEWER": "The file was written by a newer mdctl and is left as it is. Bring mdctl up to date to use it.",
    "MD-NOTE": "Something that you may not have expected, but that stops nothing.",
    "MD-NOTFOUND": "Nothing bears this name; the nearest one that there is stands beside it.",
    "MD-PARTLY": "Some of what was asked for is done and whole; the failures are listed with what makes the rest.",
    "MD-PICKLE": "A pickle can run code when it is opened, so mdctl never opens one. Ask for safetensors; runs "
    "of the official implementation are read apart with mdctl import --convert.",
    "MD-PLAYLIST": "The file is a text that would make ffmpeg open other files or addresses, whatever it is "
    "called. It was refused before ffmpeg saw it.",
    "MD-PREVIEW": "A preview could not be drawn. The training went on without it; after the second time there are no "
    "more previews in it.",
    "MD-PROMPT": "The prompt is empty, or only blanks.",
    "MD-REFUSED": "Something is unsafe or damaged and was not used.",
    "MD-REPLACED": "What is pulled takes the place of a copy that is here already, which is deleted once the new "
    "one is whole.",
    "MD-RUN-DIFFERS": "The last run was made with other settings, clips, seed or base model than are asked for now; "
    "the differences are listed. --fork begins a new run from what the old one learned, --fresh one from nothing, and "
    "the line without them goes on with the old one.",
    "MD-SAVE-DAMAGED": "A save is not what was written: a file is missing, or its hash differs. The one before is "
    "used.",
    "MD-SAVE-LOST": "No save is left from which this run can go on. --fresh begins a new run; the old one stays.",
    "MD-SETTING": "A setting does not exist, or its value cannot be. The message says where it stands: a flag, a "
    "variable, a file and its line. mdctl config show lists all settings.",
    "MD-SPACE": "The disk or the memory is full. Nothing half-written is left; mdctl cache prune makes room.",
    "MD-TEMPLATE": "No template has this name. mdctl templates list shows those that there are.",
    "MD-UNTRAINED": "The project has not learned anything yet: mdctl train NAME.",
    "MD-USAGE": "Flags or arguments do not go together, or one is missing; the line to type stands below.",
    "MD-VRAM": "There is not enough memory for this. mdctl help vram says what takes less.",
    "MD-WEIGHTS": "The file is no LoRA in safetensors that can be taken in; why stands beside it, and nothing was "
    "kept.",
}
"""By code; the tests compare them with what the program raises."""
