"""OpenCL at work: devices and queues, programs and their cache, buffers, and the executor of plans."""
