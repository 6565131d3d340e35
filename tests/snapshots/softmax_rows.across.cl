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
#define softmax_rows softmax_rows_87b55d8d6c84

__kernel WORK_GROUP void softmax_rows(
    __global const real *restrict x,   // line_count, length, inner
    __global real *restrict y,
    const int inner, const int columns_per_item, const int column_chunks,
    const int line_count, const int length)
{
    typedef vec loose __attribute__((aligned(4)));   // lines start at any element
    const int line = (int)(get_global_id(0) / column_chunks);
    if (line >= line_count) return;
    int column = (int)(get_global_id(0) % column_chunks) * columns_per_item;
    const int end = column + min(columns_per_item, inner - column);
    __global const real *from = x + line * length * inner;
    __global real *to = y + line * length * inner;
    for (; column + BLOCK <= end; column += BLOCK) {
            vec most = (vec)(-INFINITY);
            for (int i = 0; i < length; ++i) {
                const vec v = LOADU(from, i * inner + column);
                most = v > most ? v : most;
            }
            vec total = (vec)(0.0f);
            for (int i = 0; i < length; ++i) {
                const vec v = LOADU(from, i * inner + column);
                total = total + exp(v - most);
            }
            for (int i = 0; i < length; ++i) {
                const vec v = LOADU(from, i * inner + column);
                STOREU(to, i * inner + column, v - most - log(total));
            }
    }
    for (; column < end; ++column) {
            float most = (float)(-INFINITY);
            for (int i = 0; i < length; ++i) {
                const float v = LOAD(from, i * inner + column);
                most = v > most ? v : most;
            }
            float total = (float)(0.0f);
            for (int i = 0; i < length; ++i) {
                const float v = LOAD(from, i * inner + column);
                total = total + exp(v - most);
            }
            for (int i = 0; i < length; ++i) {
                const float v = LOAD(from, i * inner + column);
                STORE(to, i * inner + column, v - most - log(total));
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
