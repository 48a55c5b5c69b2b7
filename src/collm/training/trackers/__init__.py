"""TensorBoard, Weights & Biases and trackio, fed with the records that ``metrics.jsonl`` gets."""
