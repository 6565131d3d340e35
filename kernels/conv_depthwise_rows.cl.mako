## conv_depthwise_rows.cl.mako -- depthwise convolution on plain maps, a band of rows after the other.
##
## All windows of a band are computed as one long row, of which some elements between the rows are in vain: small maps are as fast as large
## ones. Index space, fastest first:
##     get_global_id(0)  run of `tasks_each` bands (n, k, band)
## Header constants: those of band.cl.mako, ACTIVATE(v).
## Render arguments: stride (of columns); whole: all taps are written out, not only those of a row of the kernel.
<%namespace name="band" file="band.cl.mako"/>\
<%page args="stride, whole"/>\
<%
    compute = """
                value = READ_LANES(totals + p * pitch + q);
                if (has_residual) {
                    if (whole) {
                        value += READ(residual + at);
                    } else {
                        float more[LANES];
                        for (int i = 0; i < LANES; ++i) more[i] = i < live ? LOAD(residual, at + i) : 0.0f;
                        value += READ_LANES(more);
                    }
                }
                value = ACTIVATE(value);
"""[1:]
%>\
__kernel WORK_GROUP
void conv_depthwise_rows(
    __global const real *restrict x,        // N, channels, height, width
    __global const real *restrict w,        // filters, KERNEL_H, KERNEL_W
    const int has_bias, const int has_residual, const float low,
    __global const real *restrict bias,     // filters
    __global const real *restrict residual, // as y
    __global real *restrict y,              // N, filters, p_count, q_count
    const int filters, const int multiplier,   // filters of an image; of a channel
    const int band, const int bands,           // rows of windows in a band; bands of a map
${band.arguments()}\
{
    float copy[COPIED];
    float totals[COPIED];
${band.tasks_and_columns()}\
    for (int task = task0; task < task_end; ++task) {
        const int plane = task / bands;
        const int p0 = (task - plane * bands) * band;
        const int rows = band < p_count - p0 ? band : p_count - p0;
        const int filter = plane % filters;
        const int map_at = (plane / filters * (filters / multiplier) + filter / multiplier) * height * width;
${band.copy_band("0.0f", stride)}\
        float weights[KERNEL_H * KERNEL_W];
        for (int t = 0; t < KERNEL_H * KERNEL_W; ++t) weights[t] = LOAD(w, filter * (KERNEL_H * KERNEL_W) + t);
        const vec start = (vec)(has_bias ? LOAD(bias, filter) : 0.0f);
        const int count = (rows - 1) * pitch + q_count;
        int i = 0;
        for (; i < count; i += 2 * LANES) {
            vec near = start, far = start;
            ${"#pragma unroll" if whole else "#pragma unroll 1"}
            for (int r = 0; r < KERNEL_H; ++r) {
                #pragma unroll
                for (int s = 0; s < KERNEL_W; ++s) {
                    const float *from = copy + (${band.tap("r", "s")}) + i;
                    const vec weight = (vec)(weights[r * KERNEL_W + s]);
                    near += weight * READ_LANES(from);
                    far += weight * READ_LANES(from + LANES);
                }
            }
            WRITE_LANES(near, totals + i);
            WRITE_LANES(far, totals + i + LANES);
        }
        WRITE_LANES(start, totals + i);   // the last vector of the last row may begin that late
        const int end = (plane * p_count + p0 + rows) * q_count;
        for (int p = 0; p < rows; ++p) {
            const int row_at = (plane * p_count + p0 + p) * q_count;
${band.store_row(compute)}\
        }
    }
}
