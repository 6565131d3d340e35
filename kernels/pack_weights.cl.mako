## pack_weights.cl.mako -- convolution weights into the order in which a register tile reads them.
##
## One work-item writes one cell of the result: one run of WIDE output channels, one block of BLOCK_IN input channels, all taps.
## Index space, fastest first:
##     get_global_id(0)  input block
##     get_global_id(1)  group * channel tiles + channel tile
## The plain weights of a group are read as outputs x inputs x taps with steps of their own, so that turning the kernel and swapping the
## channels is only another choice of steps. A cell reads WIDE short runs of memory, which stay in the first-level cache while it writes.
##
## With `joint` groups a tile holds output channels of several groups: the inputs of its own group for each ("lanes"), or a range of input
## blocks for all, zero where an input belongs to another group ("blocks").
##
## Header constants: WIDE, BLOCK_IN.   Render argument: joint ("", "lanes" or "blocks").
<%page args="joint"/>\
__kernel WORK_GROUP
void pack_weights(
    __global const real *restrict x,     // groups, then outputs and inputs in either order, taps
    __global real *restrict y,           // groups, channel tiles, input blocks, taps, BLOCK_IN, WIDE
    const int outputs, const int inputs, // of one group
    const int taps,
    const int output_step, const int input_step,
    % if joint:
    const int groups, const int input_blocks,
    % endif
    const int tap0, const int tap_step)  // where tap 0 lies, and how far it is to the next
{
    % if not joint:
    const int input_blocks = (inputs + BLOCK_IN - 1) / BLOCK_IN;
    const int channel_tiles = (outputs + WIDE - 1) / WIDE;
    % endif
    const int block = get_global_id(0);
    if (block >= input_blocks) return;
    % if joint:
    const int first = (int)get_global_id(1) * WIDE;
    % if joint == "blocks":
    const int first_block = first / outputs * inputs / BLOCK_IN;
    % endif
    __global real *cell = y + (get_global_id(1) * input_blocks + block) * taps * (size_t)(BLOCK_IN * WIDE);
    for (int o = 0; o < WIDE; ++o) {
        const int group = (first + o) / outputs;
    % if joint == "blocks":
        const int input0 = (first_block + block) * BLOCK_IN - group * inputs;
    % else:
        const int input0 = block * BLOCK_IN;
    % endif
        __global const real *from = x + (size_t)group * outputs * inputs * taps + (first + o - group * outputs) * output_step + tap0;
        for (int i = 0; i < BLOCK_IN; ++i) {
            const int input = input0 + i;
            const int live = group < groups && input >= 0 && input < inputs;
            for (int t = 0; t < taps; ++t)
                STORE(cell, (t * BLOCK_IN + i) * WIDE + o, live ? LOAD(from, input * input_step + t * tap_step) : 0.0f);
        }
    }
    % else:
    const int group = (int)get_global_id(1) / channel_tiles;
    const int first = ((int)get_global_id(1) - group * channel_tiles) * WIDE;

    const int live_outputs = min(WIDE, outputs - first);
    const int live_inputs = min(BLOCK_IN, inputs - block * BLOCK_IN);
    __global const real *source = x + (size_t)group * outputs * inputs * taps + (size_t)first * output_step
        + (size_t)block * BLOCK_IN * input_step + tap0;
    __global real *cell = y + (get_global_id(1) * input_blocks + block) * taps * (size_t)(BLOCK_IN * WIDE);

    for (int t = 0; t < taps; ++t)
        for (int i = 0; i < BLOCK_IN; ++i) {
            __global const real *from = source + t * tap_step + i * input_step;
            __global real *to = cell + (t * BLOCK_IN + i) * WIDE;
            if (i < live_inputs && live_outputs == WIDE) {
                for (int o = 0; o < WIDE; ++o)
                    STORE(to, o, LOAD(from, o * output_step));
            } else {
                // Channels that only fill up a block or a tile are zero.
                for (int o = 0; o < WIDE; ++o)
                    STORE(to, o, i < live_inputs && o < live_outputs ? LOAD(from, o * output_step) : 0.0f);
            }
        }
    % endif
}
