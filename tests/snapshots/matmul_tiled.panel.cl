// matmul_tiled
#define ACTIVATE(v) ((v) < (vec)(0.0f) ? (vec)(0.0f) : (v))
#define BLOCK 8
#define CHUNK 128
#define COLUMNS 16
#define COPIED 8
#define DOT_ROWS 4
#define LOADU(p, i) (*(__global const loose *)((p) + (i)))
#define ROWS_MOST 96
#define STOREU(p, i, v) (*(__global loose *)((p) + (i)) = (v))
#define TILE_ROWS 2
#define TILE_STEPS (CHUNK * TILE_ROWS + 6)
#define VECTORS 2
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define matmul_tiled matmul_tiled_8d249a0d7daa

__kernel WORK_GROUP void matmul_tiled(
    __global const real *restrict a,   // batch, m, k
    __global const real *restrict b,   // batch, k, n
    __global const real *restrict bias,       // n
    __global const real *restrict residual,   // batch, m, n
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

    typedef vec loose __attribute__((aligned(4)));   // rows start at any element
    const int tiles = min(tiles_per_item, (n - first_column + COLUMNS - 1) / COLUMNS);
    vec sums[ROWS_MOST * VECTORS];
    vec panel[CHUNK * VECTORS];
    float *const lanes = (float *)panel;
    for (int i = 0; i < ROWS_MOST * VECTORS; ++i) sums[i] = (vec)(0.0f);

    for (int k0 = 0; k0 < k; k0 += CHUNK) {
        const int steps = min(CHUNK, k - k0);
        for (int tile = 0; tile < tiles; ++tile) {
            const int column0 = first_column + tile * COLUMNS;
            const int columns = min(COLUMNS, n - column0);
            __global const real *from = b + k0 * n + column0;
            if (rows <= TILE_ROWS && columns == COLUMNS) {
                for (int row = 0; row < rows; row += TILE_ROWS) {
                    vec *const sum = sums + (tile * TILE_ROWS + row) * VECTORS;
                    const int row0 = min(row + 0, rows - 1);   // beyond the last row: computed again, never stored
                    __global const real *a0 = a + (first_row + row0) * k + k0;
                    vec sum0_0 = (vec)(0.0f), sum0_1 = (vec)(0.0f);
                    const int row1 = min(row + 1, rows - 1);   // beyond the last row: computed again, never stored
                    __global const real *a1 = a + (first_row + row1) * k + k0;
                    vec sum1_0 = (vec)(0.0f), sum1_1 = (vec)(0.0f);
                    for (int step = 0; step < steps; ++step) {
                        const vec b0 = LOADU(from, step * n + 0 * BLOCK);
                        const vec b1 = LOADU(from, step * n + 1 * BLOCK);
                        const float now0 = LOAD(a0, step);
                        sum0_0 += now0 * b0;
                        sum0_1 += now0 * b1;
                        const float now1 = LOAD(a1, step);
                        sum1_0 += now1 * b0;
                        sum1_1 += now1 * b1;
                    }
                    sum[0 * VECTORS + 0] += sum0_0;
                    sum[0 * VECTORS + 1] += sum0_1;
                    sum[1 * VECTORS + 0] += sum1_0;
                    sum[1 * VECTORS + 1] += sum1_1;
                }
                continue;
            }
            if (columns == COLUMNS) {
                for (int step = 0; step < steps; ++step) {
                    panel[step * VECTORS + 0] = LOADU(from, step * n + 0 * BLOCK);
                    panel[step * VECTORS + 1] = LOADU(from, step * n + 1 * BLOCK);
                }
            } else {
                for (int step = 0; step < steps; ++step) {
                    for (int column = 0; column < COLUMNS; ++column) {
                        lanes[step * COLUMNS + column] = column < columns ? LOAD(from, step * n + column) : 0.0f;
                    }
                }
            }
            {
                for (int row = 0; row < rows; row += TILE_ROWS) {
                    vec *const sum = sums + (tile * TILE_ROWS + row) * VECTORS;
                    const int row0 = min(row + 0, rows - 1);   // beyond the last row: computed again, never stored
                    __global const real *a0 = a + (first_row + row0) * k + k0;
                    vec sum0_0 = (vec)(0.0f), sum0_1 = (vec)(0.0f);
                    const int row1 = min(row + 1, rows - 1);   // beyond the last row: computed again, never stored
                    __global const real *a1 = a + (first_row + row1) * k + k0;
                    vec sum1_0 = (vec)(0.0f), sum1_1 = (vec)(0.0f);
                    for (int step = 0; step < steps; ++step) {
                        const vec b0 = panel[step * VECTORS + 0];
                        const vec b1 = panel[step * VECTORS + 1];
                        const float now0 = LOAD(a0, step);
                        sum0_0 += now0 * b0;
                        sum0_1 += now0 * b1;
                        const float now1 = LOAD(a1, step);
                        sum1_0 += now1 * b0;
                        sum1_1 += now1 * b1;
                    }
                    sum[0 * VECTORS + 0] += sum0_0;
                    sum[0 * VECTORS + 1] += sum0_1;
                    sum[1 * VECTORS + 0] += sum1_0;
                    sum[1 * VECTORS + 1] += sum1_1;
                }
            }
        }
    }

    for (int i = 0; i < tiles * rows; ++i) {
        const int tile = i / rows;
        const int row = i % rows;
        const int column0 = first_column + tile * COLUMNS;
        const int at = (entry * m + first_row + row) * n;
        for (int v = 0; v < VECTORS; ++v) {
            const int column = column0 + v * BLOCK;
            vec value = sums[(tile * TILE_ROWS + row) * VECTORS + v];
            if (column + BLOCK <= n) {
                value += LOADU(bias, column);
                value += LOADU(residual, at + column);
                STOREU(y, at + column, ACTIVATE(value));
            } else {
                float *const lane = (float *)&value;
                for (int c = 0; c < n - column; ++c) lane[c] += LOAD(bias, column + c);
                for (int c = 0; c < n - column; ++c) lane[c] += LOAD(residual, at + column + c);
                value = ACTIVATE(value);
                for (int c = 0; c < n - column; ++c) STORE(y, at + column + c, lane[c]);
            }
        }
    }
}

#undef ACTIVATE
#undef BLOCK
#undef CHUNK
#undef COLUMNS
#undef COPIED
#undef DOT_ROWS
#undef LOADU
#undef ROWS_MOST
#undef STOREU
#undef TILE_ROWS
#undef TILE_STEPS
#undef VECTORS
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef matmul_tiled
