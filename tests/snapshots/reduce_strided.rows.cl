// reduce_strided
#define COMBINE(a, v) ((a) + (v))
#define IDENTITY 0.0f
#define LANES 8
#define PIECE 256
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define reduce_strided reduce_strided_12b45d7f6208

__kernel WORK_GROUP void reduce_strided(
    __global const float *x0_data,
    const int x0_kept0,
    const int x0_kept1,
    const int x0_reduced0,
    const int x0_reduced1,
    __global const float *x1_data,
    const int x1_kept0,
    const int x1_kept1,
    const int x1_reduced0,
    const int x1_reduced1,
    __global float *y0_data,
    __global float *y1_data,
    const int kept_extent1,
    const int reduced_extent1,
    const float count,
    const int kept_count,
    const int kept_per_item,
    const int row_count,
    const int rows_per_piece,
    const int column_count,
    const int columns_per_piece,
    const int column_pieces,
    const int piece_count)
{
    const int kept_blocks = (kept_count + kept_per_item - 1) / kept_per_item;
    const int blocks = kept_blocks;
    const int output_count = kept_count;
    const int piece = (int)(get_global_id(0) / blocks);
    const int block = (int)(get_global_id(0) % blocks);
    if (piece >= piece_count) return;

    const int kept_begin = block * kept_per_item;
    const int row_begin = piece / column_pieces * rows_per_piece;
    const int begin = piece % column_pieces * columns_per_piece;
    const int end = begin + min(columns_per_piece, column_count - begin);
    const int kept_end = kept_begin + min(kept_per_item, kept_count - kept_begin);
    const int row_end = row_begin + min(rows_per_piece, row_count - row_begin);
    int kept1 = kept_begin;
    int kept0 = kept1 / kept_extent1;
    kept1 %= kept_extent1;

    for (int kept_row = kept_begin; kept_row < kept_end; ++kept_row) {
        __global const float *x0_kept = x0_data + kept0 * x0_kept0 + kept1 * x0_kept1;
        __global const float *x1_kept = x1_data + kept0 * x1_kept0 + kept1 * x1_kept1;
        float r0_total = IDENTITY, r0_rest = IDENTITY, r0_lane[LANES];
        for (int lane = 0; lane < LANES; ++lane) r0_lane[lane] = IDENTITY;
        float r1_total = IDENTITY, r1_rest = IDENTITY, r1_lane[LANES];
        for (int lane = 0; lane < LANES; ++lane) r1_lane[lane] = IDENTITY;
        int unjoined = 0;   // elements since the partial results last joined the totals
        int reduced1 = row_begin;
        int reduced0 = reduced1 / reduced_extent1;
        reduced1 %= reduced_extent1;
        for (int row = row_begin; row < row_end; ++row) {
            __global const float *x0_row = x0_kept + reduced0 * x0_reduced0 + reduced1 * x0_reduced1;
            __global const float *x1_row = x1_kept + reduced0 * x1_reduced0 + reduced1 * x1_reduced1;
            const float x1 = x1_row[0];
            for (int column0 = begin; column0 < end; column0 += PIECE * LANES) {
                const int piece_end = column0 + min(PIECE * LANES, end - column0);
                int column = column0;
                for (; column + LANES <= piece_end; column += LANES) {
                    #pragma unroll
                    for (int lane = 0; lane < LANES; ++lane) {
                        const float x0 = x0_row[column + lane];
                        const float t0 = x0 - x1;
                        const float r0 = t0;
                        const float r1 = t0 * t0;
                        r0_lane[lane] = COMBINE(r0_lane[lane], r0);
                        r1_lane[lane] = COMBINE(r1_lane[lane], r1);
                    }
                }
                for (; column < piece_end; ++column) {
                    const float x0 = x0_row[column];
                    const float t0 = x0 - x1;
                    const float r0 = t0;
                    const float r1 = t0 * t0;
                    r0_rest = COMBINE(r0_rest, r0);
                    r1_rest = COMBINE(r1_rest, r1);
                }
                unjoined += piece_end - column0;
                if (unjoined >= PIECE * LANES) {
                    unjoined = 0;
                    for (int lane = 0; lane < LANES; ++lane) {
                        r0_rest = COMBINE(r0_rest, r0_lane[lane]);
                        r0_lane[lane] = IDENTITY;
                    }
                    r0_total = COMBINE(r0_total, r0_rest);
                    r0_rest = IDENTITY;
                    for (int lane = 0; lane < LANES; ++lane) {
                        r1_rest = COMBINE(r1_rest, r1_lane[lane]);
                        r1_lane[lane] = IDENTITY;
                    }
                    r1_total = COMBINE(r1_total, r1_rest);
                    r1_rest = IDENTITY;
                }
            }
            ++reduced1;
            if (reduced1 == reduced_extent1) { reduced1 = 0; ++reduced0; }
        }
        for (int lane = 0; lane < LANES; ++lane) {
            r0_rest = COMBINE(r0_rest, r0_lane[lane]);
            r0_lane[lane] = IDENTITY;
        }
        r0_total = COMBINE(r0_total, r0_rest);
        r0_rest = IDENTITY;
        for (int lane = 0; lane < LANES; ++lane) {
            r1_rest = COMBINE(r1_rest, r1_lane[lane]);
            r1_lane[lane] = IDENTITY;
        }
        r1_total = COMBINE(r1_total, r1_rest);
        r1_rest = IDENTITY;
        {
            const float r0 = r0_total;
            const float r1 = r1_total;
            { const float r = r0; y0_data[kept_row] = (r); }
            { const float r = r1; y1_data[kept_row] = (r); }
        }
        ++kept1;
        if (kept1 == kept_extent1) { kept1 = 0; ++kept0; }
    }
}

#undef COMBINE
#undef IDENTITY
#undef LANES
#undef PIECE
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef reduce_strided
