// resample_axis
#define GROUP 1
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define resample_axis resample_axis_b7efee49496f

__kernel WORK_GROUP
void resample_axis(
    __global const real *restrict x,          // outer, size, inner
    __global const int *restrict sources,     // out, taps
    __global const float *restrict weights,   // out, taps
    __global real *restrict y,                // outer, out, inner
    const int outer, const int size, const int out, const int inner,
    const int taps, const int tasks_each)
{
    const int tasks = outer * out;
    const int first = (int)get_global_id(1) * tasks_each;
    for (int task = first; task < first + tasks_each && task < tasks; ++task) {
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
    }
}

#undef GROUP
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef resample_axis
