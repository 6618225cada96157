"""Export of an image and a text encoder as one VisionTextDualEncoderModel of transformers."""

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    VisionTextDualEncoderProcessor,
)

from unlabeled import Encoder


def export_dual_encoder(
    folder: Path, encoders: Mapping[str, Encoder], projections: Mapping[str, nn.Linear], log_scale: float
) -> bool:
    """Write both encoders, their projections (no bias) and the logarithm of the cosines' factor, with the joint processor.

    The encoders' own exports lie beside `folder` and hold their processors. False, and nothing written, unless these are
    one image and one text encoder whose pooled features a transformers model gives as its `pooler_output`.
    """
    models = {}
    for name, encoder in encoders.items():
        model = encoder.transformers_model()
        if model is not None:
            models[model.main_input_name] = name, copy.deepcopy(model).float().cpu()
    if len(encoders) != 2 or set(models) != {"pixel_values", "input_ids"}:
        return False
    (image, vision_model), (text, text_model) = models["pixel_values"], models["input_ids"]
    # A convolutional model has a width for each stage; the joint model asks for one.
    vision_model.config.hidden_size = encoders[image].width
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        vision_model.config,
        text_model.config,
        projection_dim=projections[image].out_features,
        logit_scale_init_value=log_scale,
    )
    joint = VisionTextDualEncoderModel(config, vision_model, text_model)
    with torch.no_grad():
        joint.visual_projection.weight.copy_(projections[image].weight)
        joint.text_projection.weight.copy_(projections[text].weight)
    joint.save_pretrained(folder)
    images = AutoImageProcessor.from_pretrained(folder.parent / image)
    texts = AutoTokenizer.from_pretrained(folder.parent / text)
    VisionTextDualEncoderProcessor(images, texts).save_pretrained(folder)
    return True
