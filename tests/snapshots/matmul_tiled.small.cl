// matmul_tiled
#define ACTIVATE(v) (v)
#define COLUMNS 4
#define TILE_ROWS 4
#define vec float
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(64, 1, 1)))
#define matmul_tiled matmul_tiled_96cc5cc8a65b

__kernel WORK_GROUP void matmul_tiled(
    __global const real *restrict a,   // batch, m, k
    __global const real *restrict b,   // batch, n, k
    __global real *restrict y,         // batch, m, n
    const int m, const int n, const int k,
    const int rows_per_item, const int tiles_per_item,
    const int item_count, const int row_blocks, const int column_blocks)
{
    const int item = get_global_id(0);
    if (item >= item_count) return;
    const int first_column = item % column_blocks * tiles_per_item * COLUMNS;
    const int first_row = item / column_blocks % row_blocks * rows_per_item;
    const int entry = item / column_blocks / row_blocks;
    const int rows = min(rows_per_item, m - first_row);
    a += entry * m * k;
    b += entry * k * n;

    float sums[TILE_ROWS][COLUMNS];
    for (int r = 0; r < TILE_ROWS; ++r)
        for (int c = 0; c < COLUMNS; ++c) sums[r][c] = 0.0f;

    for (int step = 0; step < k; ++step) {
        float right[COLUMNS];
        #pragma unroll
        for (int c = 0; c < COLUMNS; ++c) {
            const int column = min(first_column + c, n - 1);
            right[c] = LOAD(b, column * k + step);
        }
        #pragma unroll
        for (int r = 0; r < TILE_ROWS; ++r) {
            const int row = min(first_row + r, m - 1);
            const float now = LOAD(a, row * k + step);
            #pragma unroll
            for (int c = 0; c < COLUMNS; ++c) sums[r][c] += now * right[c];
        }
    }

    for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < min(COLUMNS, n - first_column); ++c) {
            const int at = (entry * m + first_row + r) * n + first_column + c;
            float value = sums[r][c];
            STORE(y, at, ACTIVATE(value));
        }
    }
}

#undef ACTIVATE
#undef COLUMNS
#undef TILE_ROWS
#undef vec
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef matmul_tiled
