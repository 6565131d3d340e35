## resample_axis.cl.mako -- a sparse linear map along one axis: y[o, j, i] = sum over t of weights[j, t] * x[o, sources[j, t], i].
##
## A source below 0 counts nothing, so that a NaN that nobody asked for stays out. A task is one row of y: of the elements behind the axis
## (one entry of the table for all of them), or, where the axis is the last one, of the axis itself. One work-group does `tasks_each` rows.
## Index space, fastest first:
##     get_global_id(0)  GROUP work-items share a row
##     get_global_id(1)  run of rows: o, and j unless the axis is last
## Header constants: GROUP.   Render argument: last (the axis is the last one).
<%page args="last"/>\
__kernel WORK_GROUP
void resample_axis(
    __global const real *restrict x,          // outer, size, inner
    __global const int *restrict sources,     // out, taps
    __global const float *restrict weights,   // out, taps
    __global real *restrict y,                // outer, out, inner
    const int outer, const int size, const int out, const int inner,
    const int taps, const int tasks_each)
{
    % if last:
    const int tasks = outer;
    % else:
    const int tasks = outer * out;
    % endif
    const int first = (int)get_global_id(1) * tasks_each;
    for (int task = first; task < first + tasks_each && task < tasks; ++task) {
        % if last:
        __global const real *from = x + task * size;
        __global real *to = y + task * out;
        for (int j = get_local_id(0); j < out; j += GROUP) {
            float sum = 0.0f;
            for (int t = 0; t < taps; ++t) {
                const int source = sources[j * taps + t];
                if (source >= 0) sum += weights[j * taps + t] * LOAD(from, source);
            }
            STORE(to, j, sum);
        }
        % else:
        const int j = task % out;
        __global const real *from = x + task / out * size * inner;
        __global real *to = y + task * inner;
        for (int i = get_local_id(0); i < inner; i += GROUP) {
            float sum = 0.0f;
            for (int t = 0; t < taps; ++t) {
                const int source = sources[j * taps + t];
                if (source >= 0) sum += weights[j * taps + t] * LOAD(from, source * inner + i);
            }
            STORE(to, i, sum);
        }
        % endif
    }
}
