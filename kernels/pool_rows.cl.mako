## pool_rows.cl.mako -- maximum or mean over windows of plain maps, a row of windows after the other.
##
## The rows that a row of windows covers are combined, for all columns, into one line; then every window combines its columns of the line.
## Index space, fastest first:
##     get_global_id(0)  run of `tasks_each` rows of y (plane, p)
## Header constants: those of band.cl.mako, COMBINE(a, v), IDENTITY.
## Render arguments: stride (of columns); mean; unrolled (few rows and columns in a window).
<%namespace name="band" file="band.cl.mako"/>\
<%page args="stride, mean, unrolled"/>\
<%
    unroll = "#pragma unroll" if unrolled else "#pragma unroll 1"
    def combined(kind, name, read):
        return f"""
                {kind} {name} = {read(0)};
                for (int r = 1; r < count; ++r) {{
                    const {kind} more = {read("r")};
                    {name} = COMBINE({name}, more);
                }}
"""[1:]
    vector = lambda name, c: combined("vec", name, lambda r: f"READ(x + from + {r} * DILATION_H * width + {c})")
    scalar = combined("float", "value", lambda r: f"LOAD(x + from, {r} * DILATION_H * width + c)")
    compute = f"""
                value = READ_LANES(line + q);
                {unroll}
                for (int s = 1; s < KERNEL_W; ++s) {{
                    const vec more = READ_LANES(line + s * DILATION_W % STRIDE_W * phase + s * DILATION_W / STRIDE_W + q);
                    value = COMBINE(value, more);
                }}
"""[1:]
    if mean:
        compute += """
                value /= divisor != 0.0f ? (vec)(divisor) : in_column * READ_LANES(in_row + q);
"""[1:]
%>\
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
    % if mean:
    const float divisor,               // of every window; 0: the number of its elements from low_* to below high_*
    const int low_h, const int high_h, const int low_w, const int high_w,
    % endif
${band.arguments()}\
{
    float line[COPIED];
    % if mean:
    float in_row[COPIED];              // elements that count in a row of a window
    WRITE_LANES((vec)(1.0f), in_row + q_count);   // the last vector goes on behind the last window
    for (int q = 0; q < q_count && divisor == 0.0f; ++q)
        in_row[q] = (float)COUNT(q * STRIDE_W - PAD_W, low_w, high_w, DILATION_W, KERNEL_W);
    % endif
    for (int i = 0; i < STRIDE_W * phase; ++i) line[i] = IDENTITY;
${band.tasks_and_columns()}\
    const int end = task_end * q_count;
    for (int task = task0; task < task_end; ++task) {
        const int plane = task / p_count;
        const int top = (task - plane * p_count) * STRIDE_H - PAD_H;
        const int begin = top < 0 ? (-top + DILATION_H - 1) / DILATION_H : 0;
        const int rest = (height - top + DILATION_H - 1) / DILATION_H;
        const int count = (rest < KERNEL_H ? rest : KERNEL_H) - begin;   // rows of the map in the windows
        if (count <= 0) {
            for (int i = 0; i < STRIDE_W * phase; ++i) line[i] = IDENTITY;
        } else {
            const int from = (plane * height + top + begin * DILATION_H) * width;
${band.write_row(stride, "IDENTITY", vector, scalar, "from + (count - 1) * DILATION_H * width")}\
        }
        % if mean:
        const float in_column = (float)COUNT(top, low_h, high_h, DILATION_H, KERNEL_H);
        % endif
        {
            const int row_at = task * q_count;
${band.store_row(compute)}\
        }
    }
}
% if mean:
#undef BELOW
#undef COUNT
% endif
