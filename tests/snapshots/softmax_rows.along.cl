// softmax_rows
#define BLOCK 8
#define LOADU(p, i) (*(__global const loose *)((p) + (i)))
#define STOREU(p, i, v) (*(__global loose *)((p) + (i)) = (v))
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define softmax_rows softmax_rows_aaa1ecb505be

__kernel WORK_GROUP void softmax_rows(
    __global const real *restrict x,   // line_count, length, inner
    __global real *restrict y,
    const int lines_per_item,
    const int line_count, const int length)
{
    typedef vec loose __attribute__((aligned(4)));   // lines start at any element
    const int first = (int)get_global_id(0) * lines_per_item;
    for (int line = first; line < min(first + lines_per_item, line_count); ++line) {
        __global const real *from = x + line * length;
        __global real *to = y + line * length;
        int i;
        float most = -INFINITY;
        i = 0;
        vec most_lanes = (vec)(-INFINITY);
        for (; i + BLOCK <= length; i += BLOCK) {
            const vec v = LOADU(from, i);
            most_lanes = v > most_lanes ? v : most_lanes;
        }
        for (; i < length; ++i) {
            const float v = LOAD(from, i);
            most = v > most ? v : most;
        }
        for (int lane = 0; lane < BLOCK; ++lane) {
            const float v = ((float *)&most_lanes)[lane];
            most = v > most ? v : most;
        }
        float total = 0.0f;
        i = 0;
        vec total_lanes = (vec)(0.0f);
        for (; i + BLOCK <= length; i += BLOCK) {
            const vec v = LOADU(from, i);
            total_lanes = total_lanes + exp(v - most);
        }
        for (; i < length; ++i) {
            const float v = LOAD(from, i);
            total = total + exp(v - most);
        }
        for (int lane = 0; lane < BLOCK; ++lane) {
            const float v = ((float *)&total_lanes)[lane];
            total = total + v;
        }
        i = 0;
        for (; i + BLOCK <= length; i += BLOCK) {
            const vec v = LOADU(from, i);
            STOREU(to, i, exp(v - most) / total);
        }
        for (; i < length; ++i) {
            const float v = LOAD(from, i);
            STORE(to, i, exp(v - most) / total);
        }
    }
}

#undef BLOCK
#undef LOADU
#undef STOREU
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef softmax_rows
