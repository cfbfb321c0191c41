"""What we add to onnx-ir: encoded constants, the operators of our domain, the pass contract."""
