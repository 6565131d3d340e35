// softmax_rows
#define vec float
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(64, 1, 1)))
#define softmax_rows softmax_rows_478bda01639d

__kernel WORK_GROUP void softmax_rows(
    __global const real *restrict y,   // line_count, length, inner
    __global const real *restrict dy,
    __global real *restrict dx,
    const int lines_per_item,
    const int line_count, const int length)
{
    const int first = (int)get_global_id(0) * lines_per_item;
    for (int line = first; line < min(first + lines_per_item, line_count); ++line) {
        __global const real *from = y + line * length;
        __global const real *gradient = dy + line * length;
        __global real *to = dx + line * length;
        int i;
        float total = 0.0f;
        i = 0;
        for (; i < length; ++i) {
            const float v = LOAD(from, i); const float d = LOAD(gradient, i);
            total = total + d * v;
        }
        i = 0;
        for (; i < length; ++i) {
            const float v = LOAD(from, i); const float d = LOAD(gradient, i);
            STORE(to, i, v * (d - total));
        }
    }
}

#undef vec
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef softmax_rows
