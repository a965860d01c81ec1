"""What `starter` is made of, before it is trained: each part in its library's own class."""

from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from mdctl.media import motions, world

MAX_TOKENS = 16
LATENT = (16, 8, 8)
"""Channels, height and width of one frame's latents."""
WIDTH = 128
"""Width of the text encoder, and so of the cross-attention."""

GRAMMAR = ["a", "an", "the", "on", "in", "at", "of", "with", "and", "to", "is", "are", "background", "another", "view"]
UNTAUGHT = [
    "orbiting",
    "zigzagging",
    "bouncing",
    "spiralling",
    "swinging",
    "pendulum",
    "looping",
    "figure",
    "eight",
    "zooming",
    "panning",
    "turning",
    "camera",
    "rolling",
    "spinning",
    "waving",
]
"""Words of motions that stand in the vocabulary and are never shown in training."""


def vocabulary() -> list[str]:
    """Every token, special ones first; the place in the list is the token's number."""
    taught = [word for phrase in motions.BASE_MOTIONS for word in phrase.split()]
    words = [*GRAMMAR, *world.SUBJECTS, *world.COLOURS, *world.BACKGROUNDS, *taught, *UNTAUGHT]
    return ["<pad>", "<start>", "<end>", "<unknown>", *dict.fromkeys(words)]


def new_tokenizer() -> PreTrainedTokenizerFast:
    """Whole words of a closed vocabulary, lower case; what it does not know becomes `<unknown>`."""
    numbers = {token: number for number, token in enumerate(vocabulary())}
    words = Tokenizer(models.WordLevel(numbers, unk_token="<unknown>"))
    # It is taught `a monkey moving`: what people say besides would only be noise to it.
    plain = [normalizers.Replace(Regex(rf"\b(?:{word})\b"), meant) for word, meant in (("is|are", ""), ("the", "a"))]
    words.normalizer = normalizers.Sequence([normalizers.Lowercase(), *plain])
    words.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("removed")])
    words.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", numbers["<start>"]), ("<end>", numbers["<end>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        model_max_length=MAX_TOKENS,
        bos_token="<start>",
        eos_token="<end>",
        unk_token="<unknown>",
        pad_token="<pad>",
    )


def new_text_encoder() -> CLIPTextModel:
    """A small CLIP text model over that vocabulary.

    Its words begin far apart. With the usual tiny embeddings the words of motions, which the frames do not need, had
    come to mean the same before the clips asked for them, and no gradient could part them again.
    """
    tokens = vocabulary()
    model = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokens),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=WIDTH,
            pad_token_id=tokens.index("<pad>"),
            bos_token_id=tokens.index("<start>"),
            eos_token_id=tokens.index("<end>"),
        )
    )
    nn.init.normal_(model.get_input_embeddings().weight, std=0.18)
    return model


def new_vae() -> AutoencoderKL:
    """A VAE: 64x64 pixels to 8x8 latents of 16 channels."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(24, 48, 96, 128),
        layers_per_block=1,
        latent_channels=LATENT[0],
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )


def new_unet() -> UNet3DConditionModel:
    """The denoiser: two resolutions, every block with spatial and temporal layers."""
    return UNet3DConditionModel(
        sample_size=8,
        in_channels=LATENT[0],
        out_channels=LATENT[0],
        down_block_types=("CrossAttnDownBlock3D",) * 2,
        up_block_types=("CrossAttnUpBlock3D",) * 2,
        block_out_channels=(64, 128),
        layers_per_block=1,
        norm_num_groups=16,
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
    )


def new_scheduler() -> DDIMScheduler:
    """Velocity prediction with pure noise at the last timestep, so that training meets what sampling starts from."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
    )
