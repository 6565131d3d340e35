## conv_depthwise_rows.cl.mako -- depthwise convolution on plain maps, a band of rows after the other.
##
## The rows that a band of `band` output rows reads are copied with their padding, `pitch` elements apart, so that the loops over the outputs
## have no conditions and run over neighbours in memory: compilers make vectors of them. Without strides the rows of a band are one long row,
## of which some elements between the rows are computed in vain: small maps are as fast as large ones. Index space, fastest first:
##     get_global_id(0)  run of `tasks_each` bands (n, k, band)
## Header constants: KERNEL_*, STRIDE_*, DILATION_*, PAD_*, WIDEST (elements of a band's copy), ACTIVATE(v), vec (float).
## Render arguments: dense (no strides); whole: all taps are written out, not only those of a row of the kernel.
<%page args="dense, whole"/>\
## One loop over `count` outputs from `line` on, into `total`.
<%def name="outputs(count, line, total, stride)">\
            % if whole:
            for (int i = 0; i < ${count}; ++i) {
                float sum = start;
                #pragma unroll
                for (int r = 0; r < KERNEL_H; ++r) {
                    #pragma unroll
                    for (int s = 0; s < KERNEL_W; ++s)
                        sum += weights[r * KERNEL_W + s] * ${line}[r * DILATION_H * pitch + i${stride} + s * DILATION_W];
                }
                ${total}[i] = sum;
            }
            % else:
            for (int i = 0; i < ${count}; ++i) ${total}[i] = start;
            for (int r = 0; r < KERNEL_H; ++r) {
                const float *from = ${line} + r * DILATION_H * pitch;
                const float *taps = weights + r * KERNEL_W;
                for (int i = 0; i < ${count}; ++i) {
                    float sum = ${total}[i];
                    #pragma unroll
                    for (int s = 0; s < KERNEL_W; ++s) sum += taps[s] * from[i${stride} + s * DILATION_W];
                    ${total}[i] = sum;
                }
            }
            % endif
</%def>\
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
        % if dense:
${outputs("(rows - 1) * pitch + q_count", "copy", "sums", "")}\
        % endif
        for (int p = 0; p < rows; ++p) {
            float *total = sums + p * pitch;
            % if not dense:
            const float *line = copy + p * STRIDE_H * pitch;
${outputs("q_count", "line", "total", " * STRIDE_W")}\
            % endif
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
