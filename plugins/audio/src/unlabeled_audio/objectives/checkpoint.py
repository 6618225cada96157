"""wav2vec 2.0 with its heads as transformers has it."""

from pathlib import Path

from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining, Wav2Vec2Model

from unlabeled_audio.objectives.quantizer import ProductQuantizer


def save_for_pretraining(
    folder: Path, model: Wav2Vec2Model, quantizer: ProductQuantizer, project_hid: nn.Linear, project_q: nn.Linear
) -> None:
    """Write a Wav2Vec2ForPreTraining, which AutoModelForPreTraining loads to pretrain further or to look at the codes."""
    config = Wav2Vec2Config(
        **{
            **model.config.to_dict(),
            "num_codevector_groups": quantizer.groups,
            "num_codevectors_per_group": quantizer.entries,
            "codevector_dim": project_q.in_features,
            "proj_codevector_dim": project_q.out_features,
        }
    )
    joint = Wav2Vec2ForPreTraining(config).to(model.dtype)
    joint.wav2vec2.load_state_dict(model.state_dict())
    joint.quantizer.load_state_dict(quantizer.state_dict())
    joint.project_hid.load_state_dict(project_hid.state_dict())
    joint.project_q.load_state_dict(project_q.state_dict())
    joint.save_pretrained(folder)
