"""ONNX files as networks, and networks as ONNX files. Needs the package onnx: pip install 'clconv[onnx]'."""

from clconv.onnx.exporting import save, to_model
from clconv.onnx.importing import load
from clconv.onnx.network import OnnxNetwork

__all__ = ["OnnxNetwork", "load", "save", "to_model"]
