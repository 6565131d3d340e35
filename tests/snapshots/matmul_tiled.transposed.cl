// matmul_tiled
#define ACTIVATE(v) (v)
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
#define matmul_tiled matmul_tiled_44ee9b5e655f

__kernel WORK_GROUP void matmul_tiled(
    __global const real *restrict a,   // batch, k, m
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

    typedef vec loose __attribute__((aligned(4)));   // rows start at any element
    const int tiles = min(tiles_per_item, (n - first_column + COLUMNS - 1) / COLUMNS);
    vec sums[ROWS_MOST * VECTORS];
    vec panel[CHUNK * VECTORS];
    float *const lanes = (float *)panel;
    float left[ROWS_MOST / TILE_ROWS * TILE_STEPS];   // tile, step, row
    for (int i = 0; i < ROWS_MOST * VECTORS; ++i) sums[i] = (vec)(0.0f);

    if (rows <= DOT_ROWS) {
        const int columns = min(COLUMNS, n - first_column);
        for (int row = 0; row < rows; ++row) {
            float *const out = (float *)(sums + row * VECTORS);
            __global const real *a_row = a + first_row + row;
            for (int column = 0; column < columns; column += 4) {
                __global const real *b0 = b + (first_column + min(column + 0, columns - 1)) * k;
                float total0 = 0.0f;
                __global const real *b1 = b + (first_column + min(column + 1, columns - 1)) * k;
                float total1 = 0.0f;
                __global const real *b2 = b + (first_column + min(column + 2, columns - 1)) * k;
                float total2 = 0.0f;
                __global const real *b3 = b + (first_column + min(column + 3, columns - 1)) * k;
                float total3 = 0.0f;
                for (int k0 = 0; k0 < k; k0 += CHUNK * BLOCK) {
                    const int end = min(k, k0 + CHUNK * BLOCK);
                    vec dot0 = (vec)(0.0f);
                    float rest0 = 0.0f;
                    vec dot1 = (vec)(0.0f);
                    float rest1 = 0.0f;
                    vec dot2 = (vec)(0.0f);
                    float rest2 = 0.0f;
                    vec dot3 = (vec)(0.0f);
                    float rest3 = 0.0f;
                    int step = k0;
                    for (; step < end; ++step) {
                        const float now = LOAD(a_row, step * m);
                        rest0 += now * LOAD(b0, step);
                        rest1 += now * LOAD(b1, step);
                        rest2 += now * LOAD(b2, step);
                        rest3 += now * LOAD(b3, step);
                    }
                    for (int lane = 0; lane < BLOCK; ++lane) rest0 += ((float *)&dot0)[lane];
                    total0 += rest0;
                    for (int lane = 0; lane < BLOCK; ++lane) rest1 += ((float *)&dot1)[lane];
                    total1 += rest1;
                    for (int lane = 0; lane < BLOCK; ++lane) rest2 += ((float *)&dot2)[lane];
                    total2 += rest2;
                    for (int lane = 0; lane < BLOCK; ++lane) rest3 += ((float *)&dot3)[lane];
                    total3 += rest3;
                }
                out[min(column + 0, columns - 1)] = total0;
                out[min(column + 1, columns - 1)] = total1;
                out[min(column + 2, columns - 1)] = total2;
                out[min(column + 3, columns - 1)] = total3;
            }
        }
    } else
    for (int k0 = 0; k0 < k; k0 += CHUNK) {
        const int steps = min(CHUNK, k - k0);
        for (int step = 0; step < steps; ++step) {
            __global const real *from = a + (k0 + step) * m + first_row;
            float *to = left + step * TILE_ROWS;
            int row = 0;
            // The last vector may run over the step's end: the next step writes there afterwards, and a tile has room behind its last.
            for (; row + COPIED <= m - first_row && row < rows; row += TILE_ROWS, to += TILE_STEPS) {
                for (int r = 0; r < COPIED; r += BLOCK) *(loose *)(to + r) = LOADU(from, row + r);
            }
            for (; row < rows; row += TILE_ROWS, to += TILE_STEPS) {
                for (int r = 0; r < TILE_ROWS; ++r) to[r] = LOAD(from, min(row + r, rows - 1));
            }
        }
        for (int tile = 0; tile < tiles; ++tile) {
            const int column0 = first_column + tile * COLUMNS;
            const int columns = min(COLUMNS, n - column0);
            for (int column = 0; column < COLUMNS; ++column) {
                __global const real *from = b + (column0 + min(column, columns - 1)) * k + k0;
                for (int step = 0; step < steps; ++step) lanes[step * COLUMNS + column] = LOAD(from, step);
            }
            {
                for (int row = 0; row < rows; row += TILE_ROWS) {
                    vec *const sum = sums + (tile * TILE_ROWS + row) * VECTORS;
                    const int row0 = min(row + 0, rows - 1);   // beyond the last row: computed again, never stored
                    const float *a0 = left + row / TILE_ROWS * TILE_STEPS + 0;
                    vec sum0_0 = (vec)(0.0f), sum0_1 = (vec)(0.0f);
                    const int row1 = min(row + 1, rows - 1);   // beyond the last row: computed again, never stored
                    const float *a1 = left + row / TILE_ROWS * TILE_STEPS + 1;
                    vec sum1_0 = (vec)(0.0f), sum1_1 = (vec)(0.0f);
                    for (int step = 0; step < steps; ++step) {
                        const vec b0 = panel[step * VECTORS + 0];
                        const vec b1 = panel[step * VECTORS + 1];
                        const float now0 = a0[step * TILE_ROWS];
                        sum0_0 += now0 * b0;
                        sum0_1 += now0 * b1;
                        const float now1 = a1[step * TILE_ROWS];
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
                STOREU(y, at + column, ACTIVATE(value));
            } else {
                float *const lane = (float *)&value;
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
