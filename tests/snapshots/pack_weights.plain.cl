// pack_weights
#define BLOCK_IN 8
#define WIDE 16
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define pack_weights pack_weights_391e2211f934

__kernel WORK_GROUP
void pack_weights(
    __global const real *restrict x,     // groups, then outputs and inputs in either order, taps
    __global real *restrict y,           // groups, channel tiles, input blocks, taps, BLOCK_IN, WIDE
    const int outputs, const int inputs, // of one group
    const int taps,
    const int output_step, const int input_step,
    const int tap0, const int tap_step)  // where tap 0 lies, and how far it is to the next
{
    const int input_blocks = (inputs + BLOCK_IN - 1) / BLOCK_IN;
    const int channel_tiles = (outputs + WIDE - 1) / WIDE;
    const int block = get_global_id(0);
    if (block >= input_blocks) return;
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
}

#undef BLOCK_IN
#undef WIDE
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef pack_weights
