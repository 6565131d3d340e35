// reduce_blocked
#define BLOCK 8
#define COMBINE(a, v) ((a) + (v))
#define IDENTITY 0.0f
#define PIECE 256
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define reduce_rows reduce_rows_c51bd9401140

__kernel WORK_GROUP
void reduce_rows(
    __global const float *restrict x0_data,   // N, channel blocks, rows, columns, BLOCK
    const int x0_offset, const int x0_image, const int x0_plane, const int x0_row,
    __global const float *restrict x1_data,
    const int x1_image, const int x1_channel,
    __global float *restrict y0_data,         // N, C
    __global float *restrict y1_data,         // N, C
    const float count,
    const int channels,
    const int positions,          // of a plane
    const int row_count, const int width,
    const int units, const int splits)
{
    const int block = (int)get_global_id(0);
    const int split = (int)get_global_id(1);
    const int lanes = min(BLOCK, channels - block * BLOCK);
    const int end = (int)((long)(split + 1) * units / splits);
    float total0[BLOCK];
    for (int lane = 0; lane < BLOCK; ++lane)
        total0[lane] = IDENTITY;
    float total1[BLOCK];
    for (int lane = 0; lane < BLOCK; ++lane)
        total1[lane] = IDENTITY;

    for (int unit = (int)((long)split * units / splits); unit < end;) {
        const int image = unit / row_count;
        const int row0 = unit - image * row_count;
        const int row1 = min(row_count, row0 + end - unit);
        unit += row1 - row0;
        float x1_lane[BLOCK];
        for (int lane = 0; lane < BLOCK; ++lane) {
            const int at = image * x1_image + (block * BLOCK + min(lane, lanes - 1)) * x1_channel;
            x1_lane[lane] = x1_data[at];
        }
        for (int row = row0; row < row1; ++row) {
            const int columns = min(width, positions - row * width);
            __global const float *x0_at = x0_data + (size_t)image * x0_image
                + block * x0_plane + x0_offset + row * x0_row;
            for (int column0 = 0; column0 < columns; column0 += PIECE) {
                const int piece_end = min(columns, column0 + PIECE);
                float sum0[BLOCK];
                for (int lane = 0; lane < BLOCK; ++lane)
                    sum0[lane] = IDENTITY;
                float sum1[BLOCK];
                for (int lane = 0; lane < BLOCK; ++lane)
                    sum1[lane] = IDENTITY;
                for (int column = column0; column < piece_end; ++column)
                    for (int lane = 0; lane < BLOCK; ++lane) {
                        const float x0 = x0_at[column * BLOCK + lane];
                        const float x1 = x1_lane[lane];
                        const float t0 = x0 - x1;
                        const float r0 = t0;
                        const float r1 = t0 * t0;
                        sum0[lane] = COMBINE(sum0[lane], r0);
                        sum1[lane] = COMBINE(sum1[lane], r1);
                    }
                for (int lane = 0; lane < BLOCK; ++lane)
                    total0[lane] = COMBINE(total0[lane], sum0[lane]);
                for (int lane = 0; lane < BLOCK; ++lane)
                    total1[lane] = COMBINE(total1[lane], sum1[lane]);
            }
        }
    }
    for (int lane = 0; lane < lanes; ++lane) {
        {
            const float r = total0[lane];
            y0_data[(size_t)split * channels + block * BLOCK + lane] = (r);
        }
        {
            const float r = total1[lane];
            y1_data[(size_t)split * channels + block * BLOCK + lane] = (r / count);
        }
    }
}

#undef BLOCK
#undef COMBINE
#undef IDENTITY
#undef PIECE
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef reduce_rows
