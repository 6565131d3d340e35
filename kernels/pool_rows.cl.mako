## pool_rows.cl.mako -- maximum or mean over windows of plain maps, a row of windows after the other.
##
## The rows that a row of windows covers are combined element by element into one line, whose ends are filled up where windows reach beyond
## the map; then every window combines its columns of the line. Both loops run over neighbours in memory, so that compilers make vectors of
## them. One work-item does `tasks_each` rows. Index space, fastest first:
##     get_global_id(0)  run of rows of y (plane, p)
## Header constants: KERNEL_*, STRIDE_*, DILATION_*, PAD_*, WIDEST (elements of a line), COMBINE(a, v), IDENTITY.
## Render arguments: mean; unrolled (few columns in a window).
<%page args="mean, unrolled"/>\
% if mean:
// Of the elements start, start + step, ... of a window of `taps`, those from `low` to below `high`.
#define BELOW(start, limit, step, taps) \
    ((limit) <= (start) ? 0 : ((limit) - (start) + (step) - 1) / (step) < (taps) ? ((limit) - (start) + (step) - 1) / (step) : (taps))
#define COUNT(start, low, high, step, taps) (BELOW(start, high, step, taps) - BELOW(start, low, step, taps))
% endif
__kernel WORK_GROUP
void pool_rows(
    __global const real *restrict x,   // planes, height, width
    __global real *restrict y,         // planes, p_count, q_count
    const int planes,                  // N * C
    const int height, const int width,
    const int p_count, const int q_count,
    % if mean:
    const float divisor,               // of every window; 0: the number of its elements from low_* to below high_*
    const int low_h, const int high_h, const int low_w, const int high_w,
    % endif
    const int tasks_each)
{
    float line[WIDEST];
    % if mean:
    float columns[WIDEST];
    for (int q = 0; q < q_count; ++q)
        columns[q] = (float)COUNT(q * STRIDE_W - PAD_W, low_w, high_w, DILATION_W, KERNEL_W);
    % endif
    const int span = (q_count - 1) * STRIDE_W + (KERNEL_W - 1) * DILATION_W + 1;
    const int inner = width < span - PAD_W ? width : span - PAD_W;
    for (int c = 0; c < PAD_W; ++c) line[c] = IDENTITY;
    for (int c = PAD_W + inner; c < span; ++c) line[c] = IDENTITY;

    const int tasks = planes * p_count;
    const int first = (int)get_global_id(0) * tasks_each;
    for (int task = first; task < first + tasks_each && task < tasks; ++task) {
        const int plane = task / p_count;
        const int top = (task - plane * p_count) * STRIDE_H - PAD_H;
        const int begin = top < 0 ? (-top + DILATION_H - 1) / DILATION_H : 0;
        const int rest = (height - top + DILATION_H - 1) / DILATION_H;
        const int end = rest < KERNEL_H ? rest : KERNEL_H;
        __global const real *row = x + (plane * height + top + begin * DILATION_H) * width;
        if (begin >= end) {
            for (int c = 0; c < inner; ++c) line[PAD_W + c] = IDENTITY;
        } else {
            for (int c = 0; c < inner; ++c) line[PAD_W + c] = LOAD(row, c);
        }
        for (int r = begin + 1; r < end; ++r) {
            row += DILATION_H * width;
            for (int c = 0; c < inner; ++c) {
                const float value = LOAD(row, c);
                line[PAD_W + c] = COMBINE(line[PAD_W + c], value);
            }
        }
        __global real *out = y + task * q_count;
        % if mean:
        const float rows = (float)COUNT(top, low_h, high_h, DILATION_H, KERNEL_H);
        % endif
        for (int q = 0; q < q_count; ++q) {
            float total = line[q * STRIDE_W];
            % if unrolled:
            #pragma unroll
            % endif
            for (int s = 1; s < KERNEL_W; ++s) {
                const float value = line[q * STRIDE_W + s * DILATION_W];
                total = COMBINE(total, value);
            }
            % if mean:
            STORE(out, q, total / (divisor != 0.0f ? divisor : rows * columns[q]));
            % else:
            STORE(out, q, total);
            % endif
        }
    }
}
% if mean:
#undef BELOW
#undef COUNT
% endif
