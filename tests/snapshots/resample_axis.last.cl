// resample_axis
#define GROUP 64
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(64, 1, 1)))
#define resample_axis resample_axis_11526bcd0da7

__kernel WORK_GROUP
void resample_axis(
    __global const real *restrict x,          // outer, size, inner
    __global const int *restrict sources,     // out, taps
    __global const float *restrict weights,   // out, taps
    __global real *restrict y,                // outer, out, inner
    const int outer, const int size, const int out, const int inner,
    const int taps, const int tasks_each)
{
    const int tasks = outer;
    const int first = (int)get_global_id(1) * tasks_each;
    for (int task = first; task < first + tasks_each && task < tasks; ++task) {
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
    }
}

#undef GROUP
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef resample_axis
