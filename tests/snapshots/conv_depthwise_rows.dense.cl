// conv_depthwise_rows
#define ACTIVATE(v) ((v) < (vec)(low) ? (vec)(low) : (v))
#define DILATION_H 1
#define DILATION_W 1
#define KERNEL_H 3
#define KERNEL_W 3
#define PAD_H 1
#define PAD_W 1
#define STRIDE_H 1
#define STRIDE_W 1
#define WIDEST 4096
#define vec float
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define conv_depthwise_rows conv_depthwise_rows_f2c69184f76b

__kernel WORK_GROUP
void conv_depthwise_rows(
    __global const real *restrict x,        // N, channels, height, width
    __global const real *restrict w,        // filters, KERNEL_H, KERNEL_W
    const int has_bias, const int has_residual, const float low,
    __global const real *restrict bias,     // filters
    __global const real *restrict residual, // as y
    __global real *restrict y,              // N, filters, p_count, q_count
    const int images, const int filters, const int multiplier,   // filters of a channel
    const int height, const int width,
    const int p_count, const int q_count,
    const int band, const int bands,        // rows of a band; bands of a map
    const int pitch,
    const int tasks_each)
{
    float copy[WIDEST];
    float sums[WIDEST];
    const int inner = width < pitch - PAD_W ? width : pitch - PAD_W;
    const int tasks = images * filters * bands;
    const int first = (int)get_global_id(0) * tasks_each;
    for (int task = first; task < first + tasks_each && task < tasks; ++task) {
        const int plane = task / bands;            // of y
        const int image = plane / filters;
        const int filter = plane - image * filters;
        const int p0 = (task - plane * bands) * band;
        const int rows = band < p_count - p0 ? band : p_count - p0;
        const int top = p0 * STRIDE_H - PAD_H;
        __global const real *map = x + (image * (filters / multiplier) + filter / multiplier) * height * width;
        for (int r = 0; r < (rows - 1) * STRIDE_H + (KERNEL_H - 1) * DILATION_H + 1; ++r) {
            float *line = copy + r * pitch;
            const int row = top + r;
            if (row < 0 || row >= height) {
                for (int c = 0; c < pitch; ++c) line[c] = 0.0f;
                continue;
            }
            __global const real *from = map + row * width;
            for (int c = 0; c < PAD_W; ++c) line[c] = 0.0f;
            for (int c = 0; c < inner; ++c) line[PAD_W + c] = LOAD(from, c);
            for (int c = PAD_W + inner; c < pitch; ++c) line[c] = 0.0f;
        }
        float weights[KERNEL_H * KERNEL_W];
        for (int t = 0; t < KERNEL_H * KERNEL_W; ++t) weights[t] = LOAD(w, filter * (KERNEL_H * KERNEL_W) + t);
        const float start = has_bias ? LOAD(bias, filter) : 0.0f;
            for (int i = 0; i < (rows - 1) * pitch + q_count; ++i) {
                float sum = start;
                #pragma unroll
                for (int r = 0; r < KERNEL_H; ++r) {
                    #pragma unroll
                    for (int s = 0; s < KERNEL_W; ++s)
                        sum += weights[r * KERNEL_W + s] * copy[r * DILATION_H * pitch + i + s * DILATION_W];
                }
                sums[i] = sum;
            }
        for (int p = 0; p < rows; ++p) {
            float *total = sums + p * pitch;
            const int at = (plane * p_count + p0 + p) * q_count;
            if (has_residual)
                for (int q = 0; q < q_count; ++q) total[q] += LOAD(residual, at + q);
            for (int q = 0; q < q_count; ++q) {
                const float value = ACTIVATE(total[q]);
                STORE(y, at + q, value);
            }
        }
    }
}

#undef ACTIVATE
#undef DILATION_H
#undef DILATION_W
#undef KERNEL_H
#undef KERNEL_W
#undef PAD_H
#undef PAD_W
#undef STRIDE_H
#undef STRIDE_W
#undef WIDEST
#undef vec
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef conv_depthwise_rows
