"""Export of an image and a text encoder as one VisionTextDualEncoderModel of transformers."""

import copy
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from unlabeled import Encoder


def export_dual_encoder(
    folder: Path, encoders: Mapping[str, Encoder], projections: Mapping[str, nn.Linear], scale: float
) -> bool:
    """Write both encoders, their projections (no bias) and the scale of the cosines, with the joint processor.

    False where these are not one image and one text encoder whose pooled features a transformers model gives as its
    `pooler_output`; then only the encoders themselves are exported.
    """
    models = {name: encoder.transformers_model() for name, encoder in encoders.items()}
    inputs = {model.main_input_name: name for name, model in models.items() if model is not None}
    if len(encoders) != 2 or set(inputs) != {"pixel_values", "input_ids"}:
        return False
    from transformers import AutoImageProcessor, AutoTokenizer, VisionTextDualEncoderConfig, VisionTextDualEncoderModel
    from transformers import VisionTextDualEncoderProcessor as Processor

    image, text = inputs["pixel_values"], inputs["input_ids"]
    width = projections[image].out_features
    vision_model, text_model = copy.deepcopy(models[image]), copy.deepcopy(models[text])
    for name, model in ((image, vision_model), (text, text_model)):
        # Convolutional models have a width for each stage; the joint model asks for one.
        model.config.hidden_size = encoders[name].width
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        vision_model.config, text_model.config, projection_dim=width, logit_scale_init_value=math.log(scale)
    )
    joint = VisionTextDualEncoderModel(config, vision_model, text_model)
    with torch.no_grad():
        joint.visual_projection.weight.copy_(projections[image].weight)
        joint.text_projection.weight.copy_(projections[text].weight)
    joint.save_pretrained(folder)
    # The encoders' own exports lie beside this one and hold their processors.
    images = AutoImageProcessor.from_pretrained(folder.parent / image)
    Processor(images, AutoTokenizer.from_pretrained(folder.parent / text)).save_pretrained(folder)
    return True
