// winograd_weights
#define BLOCK 8
#define TAPS_H 3
#define TAPS_W 3
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define winograd_weights winograd_weights_08863f245dab

__kernel WORK_GROUP
void winograd_weights(
    __global const float *restrict x,    // groups, then outputs and inputs in either order, taps
    __global float *restrict y,          // groups, channel tiles, products, inputs, wide
    const int outputs, const int inputs, // of one group
    const int wide, const int each,
    const int output_step, const int input_step,
    const int tap0, const int tap_step,  // where tap 0 lies, and how far it is to the next
    const int first_h, const int first_w,        // rows of the tables where G begins
    const int products_h, const int products_w)  // and how many they are
{
    const float rows[] = {-1.0f, 0.0f, 0.0f, 1.0f, 1.0f, 1.0f, 0.0f, 0.0f, 1.0f, -1.0f, 0.0f, 0.0f, 0.5f, 0.5f, 0.5f, 0.5f, -0.5f, 0.5f, 0.0f, 0.0f, 1.0f, 0.5f, 0.0f, 0.0f, -0.5f, -0.5f, -0.5f, -0.16666666666666666f, 0.16666666666666666f, -0.16666666666666666f, 0.16666666666666666f, 0.3333333333333333f, 0.6666666666666666f, 0.0f, 0.0f, 1.0f, 0.25f, 0.0f, 0.0f, -0.16666666666666666f, -0.16666666666666666f, -0.16666666666666666f, -0.16666666666666666f, 0.16666666666666666f, -0.16666666666666666f, 0.041666666666666664f, 0.08333333333333333f, 0.16666666666666666f, 0.041666666666666664f, -0.08333333333333333f, 0.16666666666666666f, 0.0f, 0.0f, 1.0f, -0.25f, 0.0f, 0.0f, -0.16666666666666666f, -0.16666666666666666f, -0.16666666666666666f, 0.05555555555555555f, -0.05555555555555555f, 0.05555555555555555f, 0.013888888888888888f, 0.027777777777777776f, 0.05555555555555555f, -0.008333333333333333f, 0.016666666666666666f, -0.03333333333333333f, 0.7111111111111111f, 0.35555555555555557f, 0.17777777777777778f, 0.0f, 0.0f, 0.5f, -0.25f, 0.0f, 0.0f, -0.05555555555555555f, -0.05555555555555555f, -0.05555555555555555f, -0.05555555555555555f, 0.05555555555555555f, -0.05555555555555555f, 0.002777777777777778f, 0.005555555555555556f, 0.011111111111111112f, 0.002777777777777778f, -0.005555555555555556f, 0.011111111111111112f, 0.35555555555555557f, 0.17777777777777778f, 0.08888888888888889f, 0.35555555555555557f, -0.17777777777777778f, 0.08888888888888889f, 0.0f, 0.0f, 0.25f, 1.0f, 0.0f, 0.0f, 0.0f, 0.0f, 1.0f, 0.0f, 1.0f, 0.0f, -1.0f, 0.0f, 0.0f, 1.0f, 0.0f, 1.0f, 0.0f, 0.0f, 1.0f, 0.0f, 1.0f, 0.0f, 0.0f, 1.0f, 0.0f, -1.0f, 0.0f, 0.0f, 0.5f, 0.0f, 0.5f, 0.5f, 0.0f, -0.5f, 0.0f, 0.0f, 1.0f, 0.0f, -1.0f, 0.0f, 0.0f, 1.0f, 0.0f, 0.0f, 1.0f, 0.0f};
    const float columns[] = {-1.0f, 0.0f, 0.0f, 1.0f, 1.0f, 1.0f, 0.0f, 0.0f, 1.0f, -1.0f, 0.0f, 0.0f, 0.5f, 0.5f, 0.5f, 0.5f, -0.5f, 0.5f, 0.0f, 0.0f, 1.0f, 0.5f, 0.0f, 0.0f, -0.5f, -0.5f, -0.5f, -0.16666666666666666f, 0.16666666666666666f, -0.16666666666666666f, 0.16666666666666666f, 0.3333333333333333f, 0.6666666666666666f, 0.0f, 0.0f, 1.0f, 0.25f, 0.0f, 0.0f, -0.16666666666666666f, -0.16666666666666666f, -0.16666666666666666f, -0.16666666666666666f, 0.16666666666666666f, -0.16666666666666666f, 0.041666666666666664f, 0.08333333333333333f, 0.16666666666666666f, 0.041666666666666664f, -0.08333333333333333f, 0.16666666666666666f, 0.0f, 0.0f, 1.0f, -0.25f, 0.0f, 0.0f, -0.16666666666666666f, -0.16666666666666666f, -0.16666666666666666f, 0.05555555555555555f, -0.05555555555555555f, 0.05555555555555555f, 0.013888888888888888f, 0.027777777777777776f, 0.05555555555555555f, -0.008333333333333333f, 0.016666666666666666f, -0.03333333333333333f, 0.7111111111111111f, 0.35555555555555557f, 0.17777777777777778f, 0.0f, 0.0f, 0.5f, -0.25f, 0.0f, 0.0f, -0.05555555555555555f, -0.05555555555555555f, -0.05555555555555555f, -0.05555555555555555f, 0.05555555555555555f, -0.05555555555555555f, 0.002777777777777778f, 0.005555555555555556f, 0.011111111111111112f, 0.002777777777777778f, -0.005555555555555556f, 0.011111111111111112f, 0.35555555555555557f, 0.17777777777777778f, 0.08888888888888889f, 0.35555555555555557f, -0.17777777777777778f, 0.08888888888888889f, 0.0f, 0.0f, 0.25f, 1.0f, 0.0f, 0.0f, 0.0f, 0.0f, 1.0f, 0.0f, 1.0f, 0.0f, -1.0f, 0.0f, 0.0f, 1.0f, 0.0f, 1.0f, 0.0f, 0.0f, 1.0f, 0.0f, 1.0f, 0.0f, 0.0f, 1.0f, 0.0f, -1.0f, 0.0f, 0.0f, 0.5f, 0.0f, 0.5f, 0.5f, 0.0f, -0.5f, 0.0f, 0.0f, 1.0f, 0.0f, -1.0f, 0.0f, 0.0f, 1.0f, 0.0f, 0.0f, 1.0f, 0.0f};
    const int channel_tiles = (outputs + wide - 1) / wide;
    const int first_input = (int)get_global_id(0) * each;
    if (first_input >= inputs) return;
    const int last_input = min(first_input + each, inputs);
    const int group = (int)get_global_id(1) / channel_tiles;
    const int first = ((int)get_global_id(1) - group * channel_tiles) * wide;
    const int step = inputs * wide;

    for (int o = first; o < first + wide; o += BLOCK) {
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
            __global const float *taps = x + (size_t)group * outputs * inputs * (TAPS_H * TAPS_W) + (size_t)input * input_step + tap0;
            __global float *run = y + (get_global_id(1) * products_h * products_w * inputs + input) * (size_t)wide + (o - first);
            vec kernel_taps[TAPS_H * TAPS_W];
            #pragma unroll 1
            for (int t = 0; t < TAPS_H * TAPS_W; ++t) {
                kernel_taps[t] = live ? (vec)(taps[at0], taps[at1], taps[at2], taps[at3], taps[at4], taps[at5], taps[at6], taps[at7]) : (vec)(0.0f);
                taps += tap_step;
            }
            #pragma unroll 1
            for (int i = 0; i < products_h; ++i) {
                vec sums[TAPS_W];
                for (int s = 0; s < TAPS_W; ++s) {
                    sums[s] = (vec)(0.0f);
                    for (int r = 0; r < TAPS_H; ++r)
                        sums[s] += rows[(first_h + i) * TAPS_H + r] * kernel_taps[r * TAPS_W + s];
                }
                #pragma unroll 1
                for (int j = 0; j < products_w; ++j) {
                    vec sum = (vec)(0.0f);
                    for (int s = 0; s < TAPS_W; ++s)
                        sum += columns[(first_w + j) * TAPS_W + s] * sums[s];
                    *(__global vec *)run = sum;
                    run += step;
                }
            }
        }
    }
}

#undef BLOCK
#undef TAPS_H
#undef TAPS_W
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef winograd_weights
