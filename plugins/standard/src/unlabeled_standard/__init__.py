"""What works with every modality: objectives, maskings, a patch encoder, evaluators and a built-in sample world.

Other plugins may build on `contrastive`, `networks`, `positions` and `tokens`.
"""
