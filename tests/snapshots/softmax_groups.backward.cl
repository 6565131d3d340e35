// softmax_groups
#define GROUP 256
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(256, 1, 1)))
#define softmax_groups softmax_groups_41d2ccbffa7b

__kernel WORK_GROUP void softmax_groups(
    __global const real *restrict y,   // outer, length, inner
    __global const real *restrict dy,
    __global real *restrict dx,
    const int line_count, const int length, const int inner, const int slices, const int apart)
{
    __local float shared[GROUP];
    const int item = get_local_id(0);
    const int slice = item / apart % slices;
    const int own = apart == 1 ? item / slices : item % apart;
    const int line = (int)get_group_id(0) * (GROUP / slices) + own;
    const int live = min(line, line_count - 1);   // behind the last line: the last one again, not stored
    const int entry = live / inner;
    const int at = entry * length * inner + live - entry * inner;
    __global const real *from = y + at;
    __global const real *gradient = dy + at;

    float total = 0.0f;
    for (int i = slice; i < length; i += slices) {
        const float v = LOAD(from, i * inner); const float d = LOAD(gradient, i * inner);
        total = total + d;
    }
    shared[item] = total;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_way = slices / 2; half_way > 0; half_way /= 2) {
        if (slice < half_way) {
            const float v = shared[item + half_way * apart];
            shared[item] = shared[item] + v;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    total = shared[item - slice * apart];
    barrier(CLK_LOCAL_MEM_FENCE);   // all have read it before the next total comes

    if (line >= line_count) return;
    for (int i = slice; i < length; i += slices) {
        const float v = LOAD(from, i * inner); const float d = LOAD(gradient, i * inner);
        STORE(dx, at + i * inner, d - exp(v) * total);
    }
}

#undef GROUP
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef softmax_groups
