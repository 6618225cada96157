"""Text: tokenizers trained on one's own words, BERT, and masked language modelling."""
