"""From plain values to OpenCL C: what to launch (`plan`) and the text that runs (`render`)."""
