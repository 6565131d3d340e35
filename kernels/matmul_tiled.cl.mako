## matmul_tiled.cl.mako -- y[i] = op(a[i]) op(b[i]) + bias + residual, activated; i counts the batch, op transposes where asked.
##
## Index space: get_global_id(0) = (entry of the batch * row_blocks + block of rows) * column_blocks + block of columns.
## width > 1: a work-item computes rows_per_item rows of tiles_per_item strips of COLUMNS columns, CHUNK steps of k at a time. It copies
## the chunk of a strip of b into a panel of vectors along n, zero beyond n, and passes all its rows over the panel, TILE_ROWS at a time
## in registers. A chunk's sums then join those in private memory: rounding errors grow with the length of a chain of sums. With one tile
## of rows a panel would be used once: b is then read in place, or, stored transposed, in dot products along k. Only then is
## tiles_per_item above 1: longer runs of a row of b in one go.
## width 1: a work-item computes one tile of TILE_ROWS x COLUMNS sums.
## Render arguments: rows, vectors (of a tile), width, transpose_a, transpose_b, bias, residual, pack_a.
<%page args="rows, vectors, width, transpose_a, transpose_b, bias, residual, pack_a"/>\
<%def name="multiply(source)">\
                for (int row = 0; row < rows; row += TILE_ROWS) {
                    vec *const sum = sums + (tile * TILE_ROWS + row) * VECTORS;
                % for r in range(rows):
                    const int row${r} = min(row + ${r}, rows - 1);   // beyond the last row: computed again, never stored
                % if pack_a:
                    const float *a${r} = left + ${f"row / TILE_ROWS * TILE_STEPS + {r}" if transpose_a else f"row{r} * CHUNK"};
                % elif transpose_a:
                    __global const real *a${r} = a + k0 * m + first_row + row${r};
                % else:
                    __global const real *a${r} = a + (first_row + row${r}) * k + k0;
                % endif
                    vec ${", ".join(f"sum{r}_{v} = (vec)(0.0f)" for v in range(vectors))};
                % endfor
                    for (int step = 0; step < steps; ++step) {
                    % for v in range(vectors):
                        const vec b${v} = ${source(v)};
                    % endfor
                    % for r in range(rows):
                        const float now${r} = ${f"a{r}[step{' * TILE_ROWS' if transpose_a else ''}]" if pack_a else f"LOAD(a{r}, step{' * m' if transpose_a else ''})"};
                        % for v in range(vectors):
                        sum${r}_${v} += now${r} * b${v};
                        % endfor
                    % endfor
                    }
                % for r in range(rows):
                    % for v in range(vectors):
                    sum[${r} * VECTORS + ${v}] += sum${r}_${v};
                    % endfor
                % endfor
                }
</%def>\
__kernel WORK_GROUP void matmul_tiled(
    __global const real *restrict a,   // batch, ${"k, m" if transpose_a else "m, k"}
    __global const real *restrict b,   // batch, ${"n, k" if transpose_b else "k, n"}
% if bias:
    __global const real *restrict bias,       // n
% endif
% if residual:
    __global const real *restrict residual,   // batch, m, n
% endif
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
% if width > 1:

    typedef vec loose __attribute__((aligned(4)));   // rows start at any element
    const int tiles = min(tiles_per_item, (n - first_column + COLUMNS - 1) / COLUMNS);
    vec sums[ROWS_MOST * VECTORS];
    vec panel[CHUNK * VECTORS];
    float *const lanes = (float *)panel;
% if pack_a:
    float left[ROWS_MOST / TILE_ROWS * TILE_STEPS];   // ${"tile, step, row" if transpose_a else "row, step"}
% endif
    for (int i = 0; i < ROWS_MOST * VECTORS; ++i) sums[i] = (vec)(0.0f);

% if transpose_b:
    if (rows <= DOT_ROWS) {
        const int columns = min(COLUMNS, n - first_column);
        for (int row = 0; row < rows; ++row) {
            float *const out = (float *)(sums + row * VECTORS);
            __global const real *a_row = a + ${"first_row + row" if transpose_a else "(first_row + row) * k"};
            for (int column = 0; column < columns; column += 4) {
            % for c in range(4):
                __global const real *b${c} = b + (first_column + min(column + ${c}, columns - 1)) * k;
                float total${c} = 0.0f;
            % endfor
                for (int k0 = 0; k0 < k; k0 += CHUNK * BLOCK) {
                    const int end = min(k, k0 + CHUNK * BLOCK);
                % for c in range(4):
                    vec dot${c} = (vec)(0.0f);
                    float rest${c} = 0.0f;
                % endfor
                    int step = k0;
                % if not transpose_a:
                    for (; step + BLOCK <= end; step += BLOCK) {
                        const vec now = LOADU(a_row, step);
                    % for c in range(4):
                        dot${c} += now * LOADU(b${c}, step);
                    % endfor
                    }
                % endif
                    for (; step < end; ++step) {
                        const float now = LOAD(a_row, step${" * m" if transpose_a else ""});
                    % for c in range(4):
                        rest${c} += now * LOAD(b${c}, step);
                    % endfor
                    }
                % for c in range(4):
                    for (int lane = 0; lane < BLOCK; ++lane) rest${c} += ((float *)&dot${c})[lane];
                    total${c} += rest${c};
                % endfor
                }
            % for c in range(4):
                out[min(column + ${c}, columns - 1)] = total${c};
            % endfor
            }
        }
    } else
% endif
    for (int k0 = 0; k0 < k; k0 += CHUNK) {
        const int steps = min(CHUNK, k - k0);
    % if pack_a and transpose_a:
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
    % elif pack_a:
        for (int row = 0; row < rows; ++row) {
            __global const real *from = a + (first_row + row) * k + k0;
            int step = 0;
            for (; step + BLOCK <= steps; step += BLOCK) *(loose *)(left + row * CHUNK + step) = LOADU(from, step);
            for (; step < steps; ++step) left[row * CHUNK + step] = LOAD(from, step);
        }
    % endif
        for (int tile = 0; tile < tiles; ++tile) {
            const int column0 = first_column + tile * COLUMNS;
            const int columns = min(COLUMNS, n - column0);
        % if transpose_b:
            for (int column = 0; column < COLUMNS; ++column) {
                __global const real *from = b + (column0 + min(column, columns - 1)) * k + k0;
                for (int step = 0; step < steps; ++step) lanes[step * COLUMNS + column] = LOAD(from, step);
            }
        % else:
            __global const real *from = b + k0 * n + column0;
            if (rows <= TILE_ROWS && columns == COLUMNS) {
${multiply(lambda v: f"LOADU(from, step * n + {v} * BLOCK)")}\
                continue;
            }
            if (columns == COLUMNS) {
                for (int step = 0; step < steps; ++step) {
                % for v in range(vectors):
                    panel[step * VECTORS + ${v}] = LOADU(from, step * n + ${v} * BLOCK);
                % endfor
                }
            } else {
                for (int step = 0; step < steps; ++step) {
                    for (int column = 0; column < COLUMNS; ++column) {
                        lanes[step * COLUMNS + column] = column < columns ? LOAD(from, step * n + column) : 0.0f;
                    }
                }
            }
        % endif
            {
${multiply(lambda v: f"panel[step * VECTORS + {v}]")}\
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
            % if bias:
                value += LOADU(bias, column);
            % endif
            % if residual:
                value += LOADU(residual, at + column);
            % endif
                STOREU(y, at + column, ACTIVATE(value));
            } else {
                float *const lane = (float *)&value;
            % if bias:
                for (int c = 0; c < n - column; ++c) lane[c] += LOAD(bias, column + c);
            % endif
            % if residual:
                for (int c = 0; c < n - column; ++c) lane[c] += LOAD(residual, at + column + c);
            % endif
                value = ACTIVATE(value);
                for (int c = 0; c < n - column; ++c) STORE(y, at + column + c, lane[c]);
            }
        }
    }
}
% else:

    float sums[TILE_ROWS][COLUMNS];
    for (int r = 0; r < TILE_ROWS; ++r)
        for (int c = 0; c < COLUMNS; ++c) sums[r][c] = 0.0f;

    for (int step = 0; step < k; ++step) {
        float right[COLUMNS];
        #pragma unroll
        for (int c = 0; c < COLUMNS; ++c) {
            const int column = min(first_column + c, n - 1);
            right[c] = LOAD(b, ${"column * k + step" if transpose_b else "step * n + column"});
        }
        #pragma unroll
        for (int r = 0; r < TILE_ROWS; ++r) {
            const int row = min(first_row + r, m - 1);
            const float now = LOAD(a, ${"step * m + row" if transpose_a else "row * k + step"});
            #pragma unroll
            for (int c = 0; c < COLUMNS; ++c) sums[r][c] += now * right[c];
        }
    }

    for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < min(COLUMNS, n - first_column); ++c) {
            const int at = (entry * m + first_row + r) * n + first_column + c;
            float value = sums[r][c];
        % if bias:
            value += LOAD(bias, first_column + c);
        % endif
        % if residual:
            value += LOAD(residual, at);
        % endif
            STORE(y, at, ACTIVATE(value));
        }
    }
}
% endif
