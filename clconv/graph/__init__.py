"""Networks as graphs: nodes and the operations they stand for, gradients, passes, memory, and compiling to launches."""
