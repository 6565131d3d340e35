"""Convolutional networks on any OpenCL device."""
