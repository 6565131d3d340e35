// conv_depthwise_strips_weights
#define GROUP 256
#define ROWS 2
#define STEP_W 1
#define STRIDE_H 1
#define STRIDE_W 1
#define SUB_GROUP 
#define TAPS_H 3
#define TAPS_W 2
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(256, 1, 1)))
#define conv_depthwise_strips_weights conv_depthwise_strips_weights_6fc0b14dc46f

__kernel WORK_GROUP SUB_GROUP
void conv_depthwise_strips_weights(
    __global const real *restrict source,    // N, channels, height, width
    __global const real *restrict gradient,  // N, filters, out_height, out_width
    __global float *restrict partial,        // parts, filters, TAPS_H, TAPS_W
    const int channels, const int filters, const int height, const int width, const int out_height, const int out_width,
    const int y_begin, const int x_begin,    // where the first window begins
    const int strips, const int all_strips, const int strips_each, const int lanes)   // of a map; of all; of a part
{
    __local float shared[TAPS_W * GROUP];    // column of taps, work-item
    const int item = get_local_id(0);
    const int lane = item % lanes;
    const int filter = get_group_id(0);
    const int channel = filter / (filters / channels);
    const int begin = (int)get_group_id(1) * strips_each;
    const int end = min(begin + strips_each, all_strips);
    float sum0_0 = 0.0f, sum0_1 = 0.0f;
    float sum1_0 = 0.0f, sum1_1 = 0.0f;
    float sum2_0 = 0.0f, sum2_1 = 0.0f;
    for (int number = begin + item / lanes; number < end; number += GROUP / lanes) {
        const int image = number / strips;
        const int row = (number - image * strips) * ROWS;
        const int y0 = row * STRIDE_H + y_begin;
        const int gradient_at = ((image * filters + filter) * out_height + row) * out_width;
        const int map_at = (image * channels + channel) * height * width;
        for (int column = lane; column < out_width; column += lanes) {
            const int live0 = row + 0 < out_height;
            const float read0 = LOAD(gradient, live0 ? gradient_at + 0 * out_width + column : 0);
            const float gradient0 = live0 ? read0 : 0.0f;
            const int live1 = row + 1 < out_height;
            const float read1 = LOAD(gradient, live1 ? gradient_at + 1 * out_width + column : 0);
            const float gradient1 = live1 ? read1 : 0.0f;
            const int x0 = column * STRIDE_W + x_begin;
            const int inside0 = (uint)(x0 + 0 * STEP_W) < (uint)width;
            const int inside1 = (uint)(x0 + 1 * STEP_W) < (uint)width;
            {
                const int y = y0 + 0;
                const int inside = (uint)y < (uint)height;
                const int at = map_at + y * width + x0;
                const int holds0 = inside & inside0;
                const float read0 = LOAD(source, holds0 ? at + 0 * STEP_W : 0);
                const float value0 = holds0 ? read0 : 0.0f;
                const int holds1 = inside & inside1;
                const float read1 = LOAD(source, holds1 ? at + 1 * STEP_W : 0);
                const float value1 = holds1 ? read1 : 0.0f;
                sum0_0 += gradient0 * value0;
                sum0_1 += gradient0 * value1;
            }
            {
                const int y = y0 + 1;
                const int inside = (uint)y < (uint)height;
                const int at = map_at + y * width + x0;
                const int holds0 = inside & inside0;
                const float read0 = LOAD(source, holds0 ? at + 0 * STEP_W : 0);
                const float value0 = holds0 ? read0 : 0.0f;
                const int holds1 = inside & inside1;
                const float read1 = LOAD(source, holds1 ? at + 1 * STEP_W : 0);
                const float value1 = holds1 ? read1 : 0.0f;
                sum1_0 += gradient0 * value0;
                sum1_1 += gradient0 * value1;
                sum0_0 += gradient1 * value0;
                sum0_1 += gradient1 * value1;
            }
            {
                const int y = y0 + 2;
                const int inside = (uint)y < (uint)height;
                const int at = map_at + y * width + x0;
                const int holds0 = inside & inside0;
                const float read0 = LOAD(source, holds0 ? at + 0 * STEP_W : 0);
                const float value0 = holds0 ? read0 : 0.0f;
                const int holds1 = inside & inside1;
                const float read1 = LOAD(source, holds1 ? at + 1 * STEP_W : 0);
                const float value1 = holds1 ? read1 : 0.0f;
                sum2_0 += gradient0 * value0;
                sum2_1 += gradient0 * value1;
                sum1_0 += gradient1 * value0;
                sum1_1 += gradient1 * value1;
            }
            {
                const int y = y0 + 3;
                const int inside = (uint)y < (uint)height;
                const int at = map_at + y * width + x0;
                const int holds0 = inside & inside0;
                const float read0 = LOAD(source, holds0 ? at + 0 * STEP_W : 0);
                const float value0 = holds0 ? read0 : 0.0f;
                const int holds1 = inside & inside1;
                const float read1 = LOAD(source, holds1 ? at + 1 * STEP_W : 0);
                const float value1 = holds1 ? read1 : 0.0f;
                sum2_0 += gradient1 * value0;
                sum2_1 += gradient1 * value1;
            }
        }
    }

    __global float *to = partial + ((size_t)get_group_id(1) * filters + filter) * (TAPS_H * TAPS_W);
    shared[0 * GROUP + item] = sum0_0;
    shared[1 * GROUP + item] = sum0_1;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_way = GROUP / 2; half_way > 0; half_way /= 2) {
        if (item < half_way) {
            shared[0 * GROUP + item] += shared[0 * GROUP + item + half_way];
            shared[1 * GROUP + item] += shared[1 * GROUP + item + half_way];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    for (int s = item; s < TAPS_W; s += GROUP) to[0 * TAPS_W + s] = shared[s * GROUP];
    barrier(CLK_LOCAL_MEM_FENCE);   // all are stored before the next row of taps comes
    shared[0 * GROUP + item] = sum1_0;
    shared[1 * GROUP + item] = sum1_1;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_way = GROUP / 2; half_way > 0; half_way /= 2) {
        if (item < half_way) {
            shared[0 * GROUP + item] += shared[0 * GROUP + item + half_way];
            shared[1 * GROUP + item] += shared[1 * GROUP + item + half_way];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    for (int s = item; s < TAPS_W; s += GROUP) to[1 * TAPS_W + s] = shared[s * GROUP];
    barrier(CLK_LOCAL_MEM_FENCE);   // all are stored before the next row of taps comes
    shared[0 * GROUP + item] = sum2_0;
    shared[1 * GROUP + item] = sum2_1;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_way = GROUP / 2; half_way > 0; half_way /= 2) {
        if (item < half_way) {
            shared[0 * GROUP + item] += shared[0 * GROUP + item + half_way];
            shared[1 * GROUP + item] += shared[1 * GROUP + item + half_way];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    for (int s = item; s < TAPS_W; s += GROUP) to[2 * TAPS_W + s] = shared[s * GROUP];
    barrier(CLK_LOCAL_MEM_FENCE);   // all are stored before the next row of taps comes
}

#undef GROUP
#undef ROWS
#undef STEP_W
#undef STRIDE_H
#undef STRIDE_W
#undef SUB_GROUP
#undef TAPS_H
#undef TAPS_W
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef conv_depthwise_strips_weights
