"""From a network to what others run: export, checked by loading it back, ONNX, `Predictor`, predictions on images."""
