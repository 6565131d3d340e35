// reduce_strided
#define COMBINE(a, v) ((v) > (a) || (v) != (v) ? (v) : (a))
#define IDENTITY (-INFINITY)
#define PIECE 256
#define RUN 1024
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define reduce_strided reduce_strided_75fad434dbd5

__kernel WORK_GROUP void reduce_strided(
    __global const float *x0_data,
    const int x0_kept0,
    const int x0_kept1,
    const int x0_reduced0,
    const int x0_reduced1,
    __global float *part0_data,
    const int kept_extent1,
    const int reduced_extent1,
    const int kept_count,
    const int kept_per_item,
    const int row_count,
    const int rows_per_piece,
    const int column_count,
    const int columns_per_item,
    const int runs,
    const int piece_count)
{
    const int kept_blocks = (kept_count + kept_per_item - 1) / kept_per_item;
    const int blocks = kept_blocks * runs;
    const int output_count = kept_count * column_count;
    const int piece = (int)(get_global_id(0) / blocks);
    const int block = (int)(get_global_id(0) % blocks);
    if (piece >= piece_count) return;

    const int kept_begin = block / runs * kept_per_item;
    const int row_begin = piece * rows_per_piece;
    const int begin = block % runs * columns_per_item;
    const int end = begin + min(columns_per_item, column_count - begin);
    const int kept_end = kept_begin + min(kept_per_item, kept_count - kept_begin);
    const int row_end = row_begin + min(rows_per_piece, row_count - row_begin);
    int kept1 = kept_begin;
    int kept0 = kept1 / kept_extent1;
    kept1 %= kept_extent1;

    for (int kept_row = kept_begin; kept_row < kept_end; ++kept_row) {
        __global const float *x0_kept = x0_data + kept0 * x0_kept0 + kept1 * x0_kept1;
        float r0_total[RUN], r0_piece[RUN];
        for (int i = 0; i < end - begin; ++i) r0_total[i] = r0_piece[i] = IDENTITY;
        int unjoined = 0;   // rows since the partial results last joined the totals
        int reduced1 = row_begin;
        int reduced0 = reduced1 / reduced_extent1;
        reduced1 %= reduced_extent1;
        for (int row = row_begin; row < row_end; ++row) {
            __global const float *x0_row = x0_kept + reduced0 * x0_reduced0 + reduced1 * x0_reduced1;
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)
#endif
            for (int column = begin; column < end; ++column) {
                const float x0 = x0_row[column];
                const float r0 = x0;
                r0_piece[column - begin] = COMBINE(r0_piece[column - begin], r0);
            }
            if (++unjoined == PIECE) {
                unjoined = 0;
                for (int i = 0; i < end - begin; ++i) {
                    r0_total[i] = COMBINE(r0_total[i], r0_piece[i]);
                    r0_piece[i] = IDENTITY;
                }
            }
            ++reduced1;
            if (reduced1 == reduced_extent1) { reduced1 = 0; ++reduced0; }
        }
        for (int i = 0; i < end - begin; ++i) {
            r0_total[i] = COMBINE(r0_total[i], r0_piece[i]);
            r0_piece[i] = IDENTITY;
        }
        for (int column = begin; column < end; ++column) {
            const float r0 = r0_total[column - begin];
            part0_data[piece * output_count + kept_row * column_count + column] = r0;
        }
        ++kept1;
        if (kept1 == kept_extent1) { kept1 = 0; ++kept0; }
    }
}

#undef COMBINE
#undef IDENTITY
#undef PIECE
#undef RUN
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef reduce_strided
