// winograd_weights
#define BLOCK 8
#define INPUTS 8
#define WIDE 16
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define winograd_weights winograd_weights_21fe755e1cbf

__kernel WORK_GROUP
void winograd_weights(
    __global const float *restrict x,    // groups, then outputs and inputs in either order, taps
    __global float *restrict y,          // groups, channel tiles, products, inputs, WIDE
    const int outputs, const int inputs, // of one group
    const int output_step, const int input_step,
    const int tap0, const int tap_step)  // where tap 0 lies, and how far it is to the next
{
    const int channel_tiles = (outputs + WIDE - 1) / WIDE;
    const int first_input = (int)get_global_id(0) * INPUTS;
    if (first_input >= inputs) return;
    const int last_input = min(first_input + INPUTS, inputs);
    const int group = (int)get_global_id(1) / channel_tiles;
    const int first = ((int)get_global_id(1) - group * channel_tiles) * WIDE;
    const int step = inputs * WIDE;

    for (int o = first; o < first + WIDE; o += BLOCK) {
        // Channels that only fill up a tile are zero, whatever the weights of the last one are.
        const int at0 = min(o + 0, outputs - 1) * output_step;
        const int at1 = min(o + 1, outputs - 1) * output_step;
        const int at2 = min(o + 2, outputs - 1) * output_step;
        const int at3 = min(o + 3, outputs - 1) * output_step;
        const int at4 = min(o + 4, outputs - 1) * output_step;
        const int at5 = min(o + 5, outputs - 1) * output_step;
        const int at6 = min(o + 6, outputs - 1) * output_step;
        const int at7 = min(o + 7, outputs - 1) * output_step;
        const int8 live = (int8)(o + 0 < outputs ? -1 : 0, o + 1 < outputs ? -1 : 0, o + 2 < outputs ? -1 : 0, o + 3 < outputs ? -1 : 0, o + 4 < outputs ? -1 : 0, o + 5 < outputs ? -1 : 0, o + 6 < outputs ? -1 : 0, o + 7 < outputs ? -1 : 0);
        for (int input = first_input; input < last_input; ++input) {
            __global const float *taps = x + (size_t)group * outputs * inputs * 9 + (size_t)input * input_step + tap0;
            __global float *run = y + (get_global_id(1) * 16 * inputs + input) * (size_t)WIDE + (o - first);
            const vec in0_0 = live ? (vec)(taps[at0 + 0 * tap_step], taps[at1 + 0 * tap_step], taps[at2 + 0 * tap_step], taps[at3 + 0 * tap_step], taps[at4 + 0 * tap_step], taps[at5 + 0 * tap_step], taps[at6 + 0 * tap_step], taps[at7 + 0 * tap_step])
                : (vec)(0.0f);
            const vec in0_1 = live ? (vec)(taps[at0 + 1 * tap_step], taps[at1 + 1 * tap_step], taps[at2 + 1 * tap_step], taps[at3 + 1 * tap_step], taps[at4 + 1 * tap_step], taps[at5 + 1 * tap_step], taps[at6 + 1 * tap_step], taps[at7 + 1 * tap_step])
                : (vec)(0.0f);
            const vec in0_2 = live ? (vec)(taps[at0 + 2 * tap_step], taps[at1 + 2 * tap_step], taps[at2 + 2 * tap_step], taps[at3 + 2 * tap_step], taps[at4 + 2 * tap_step], taps[at5 + 2 * tap_step], taps[at6 + 2 * tap_step], taps[at7 + 2 * tap_step])
                : (vec)(0.0f);
            const vec in1_0 = live ? (vec)(taps[at0 + 3 * tap_step], taps[at1 + 3 * tap_step], taps[at2 + 3 * tap_step], taps[at3 + 3 * tap_step], taps[at4 + 3 * tap_step], taps[at5 + 3 * tap_step], taps[at6 + 3 * tap_step], taps[at7 + 3 * tap_step])
                : (vec)(0.0f);
            const vec in1_1 = live ? (vec)(taps[at0 + 4 * tap_step], taps[at1 + 4 * tap_step], taps[at2 + 4 * tap_step], taps[at3 + 4 * tap_step], taps[at4 + 4 * tap_step], taps[at5 + 4 * tap_step], taps[at6 + 4 * tap_step], taps[at7 + 4 * tap_step])
                : (vec)(0.0f);
            const vec in1_2 = live ? (vec)(taps[at0 + 5 * tap_step], taps[at1 + 5 * tap_step], taps[at2 + 5 * tap_step], taps[at3 + 5 * tap_step], taps[at4 + 5 * tap_step], taps[at5 + 5 * tap_step], taps[at6 + 5 * tap_step], taps[at7 + 5 * tap_step])
                : (vec)(0.0f);
            const vec in2_0 = live ? (vec)(taps[at0 + 6 * tap_step], taps[at1 + 6 * tap_step], taps[at2 + 6 * tap_step], taps[at3 + 6 * tap_step], taps[at4 + 6 * tap_step], taps[at5 + 6 * tap_step], taps[at6 + 6 * tap_step], taps[at7 + 6 * tap_step])
                : (vec)(0.0f);
            const vec in2_1 = live ? (vec)(taps[at0 + 7 * tap_step], taps[at1 + 7 * tap_step], taps[at2 + 7 * tap_step], taps[at3 + 7 * tap_step], taps[at4 + 7 * tap_step], taps[at5 + 7 * tap_step], taps[at6 + 7 * tap_step], taps[at7 + 7 * tap_step])
                : (vec)(0.0f);
            const vec in2_2 = live ? (vec)(taps[at0 + 8 * tap_step], taps[at1 + 8 * tap_step], taps[at2 + 8 * tap_step], taps[at3 + 8 * tap_step], taps[at4 + 8 * tap_step], taps[at5 + 8 * tap_step], taps[at6 + 8 * tap_step], taps[at7 + 8 * tap_step])
                : (vec)(0.0f);
            const vec mid0_0 = -in0_0;
            const vec mid3_0 = in2_0;
            const vec mid1_0_even = 0.5f * in0_0 + 0.5f * in2_0;
            const vec mid1_0_odd = 0.5f * in1_0;
            const vec mid1_0 = mid1_0_even + mid1_0_odd;
            const vec mid2_0 = mid1_0_even - mid1_0_odd;
            const vec mid0_1 = -in0_1;
            const vec mid3_1 = in2_1;
            const vec mid1_1_even = 0.5f * in0_1 + 0.5f * in2_1;
            const vec mid1_1_odd = 0.5f * in1_1;
            const vec mid1_1 = mid1_1_even + mid1_1_odd;
            const vec mid2_1 = mid1_1_even - mid1_1_odd;
            const vec mid0_2 = -in0_2;
            const vec mid3_2 = in2_2;
            const vec mid1_2_even = 0.5f * in0_2 + 0.5f * in2_2;
            const vec mid1_2_odd = 0.5f * in1_2;
            const vec mid1_2 = mid1_2_even + mid1_2_odd;
            const vec mid2_2 = mid1_2_even - mid1_2_odd;
            const vec out0_0 = -mid0_0;
            const vec out0_3 = mid0_2;
            const vec out0_1_even = 0.5f * mid0_0 + 0.5f * mid0_2;
            const vec out0_1_odd = 0.5f * mid0_1;
            const vec out0_1 = out0_1_even + out0_1_odd;
            const vec out0_2 = out0_1_even - out0_1_odd;
            const vec out1_0 = -mid1_0;
            const vec out1_3 = mid1_2;
            const vec out1_1_even = 0.5f * mid1_0 + 0.5f * mid1_2;
            const vec out1_1_odd = 0.5f * mid1_1;
            const vec out1_1 = out1_1_even + out1_1_odd;
            const vec out1_2 = out1_1_even - out1_1_odd;
            const vec out2_0 = -mid2_0;
            const vec out2_3 = mid2_2;
            const vec out2_1_even = 0.5f * mid2_0 + 0.5f * mid2_2;
            const vec out2_1_odd = 0.5f * mid2_1;
            const vec out2_1 = out2_1_even + out2_1_odd;
            const vec out2_2 = out2_1_even - out2_1_odd;
            const vec out3_0 = -mid3_0;
            const vec out3_3 = mid3_2;
            const vec out3_1_even = 0.5f * mid3_0 + 0.5f * mid3_2;
            const vec out3_1_odd = 0.5f * mid3_1;
            const vec out3_1 = out3_1_even + out3_1_odd;
            const vec out3_2 = out3_1_even - out3_1_odd;
            *(__global vec *)(run + 0 * (size_t)step) = out0_0;
            *(__global vec *)(run + 1 * (size_t)step) = out0_1;
            *(__global vec *)(run + 2 * (size_t)step) = out0_2;
            *(__global vec *)(run + 3 * (size_t)step) = out0_3;
            *(__global vec *)(run + 4 * (size_t)step) = out1_0;
            *(__global vec *)(run + 5 * (size_t)step) = out1_1;
            *(__global vec *)(run + 6 * (size_t)step) = out1_2;
            *(__global vec *)(run + 7 * (size_t)step) = out1_3;
            *(__global vec *)(run + 8 * (size_t)step) = out2_0;
            *(__global vec *)(run + 9 * (size_t)step) = out2_1;
            *(__global vec *)(run + 10 * (size_t)step) = out2_2;
            *(__global vec *)(run + 11 * (size_t)step) = out2_3;
            *(__global vec *)(run + 12 * (size_t)step) = out3_0;
            *(__global vec *)(run + 13 * (size_t)step) = out3_1;
            *(__global vec *)(run + 14 * (size_t)step) = out3_2;
            *(__global vec *)(run + 15 * (size_t)step) = out3_3;
        }
    }
}

#undef BLOCK
#undef INPUTS
#undef WIDE
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef winograd_weights
