## band.cl.mako -- what the kernels over bands of plain maps share: copying a band into private memory, and storing its results.
##
## A band is `rows` rows of windows, from row p0 on, of map number `plane` of y. Its elements are copied with their padding into `copy`: what has
## the same residue of row and column modulo the strides lies together, `phase` elements of it in rows of `pitch`. Windows side by side
## then read elements side by side, whatever the stride; and from one row of windows to the next it is `pitch` elements.
##
## Header constants: KERNEL_*, STRIDE_*, DILATION_*, PAD_*, REACH_* (of a window, dilation included), COPIED (elements of a copy), and those
## of unaligned vectors: LANES, vec, mask, LANE_IDS, READ(p), WRITE(v, p) for memory, READ_LANES(p), WRITE_LANES(v, p) for private arrays.
## min() is a call on PoCL that stays one.
<%def name="arguments()">\
    const int height, const int width,
    const int p_count, const int q_count,
    const int pitch, const int phase,       // elements of a row of the copy, and of one residue
    const int size,                         // elements of x
    const int tasks, const int tasks_each)  // bands in all; those of a work-item
</%def>\
## The tasks of a work-item, and how many columns of the map windows read.
<%def name="tasks_and_columns()">\
    const int read = (q_count - 1) * STRIDE_W + REACH_W - PAD_W;
    const int inner = width < read ? width : read;
    const int task0 = (int)get_global_id(0) * tasks_each;
    const int task_end = task0 + tasks_each < tasks ? task0 + tasks_each : tasks;
</%def>\
## Element (row, column) of a window in the copy, for the window at 0.
<%def name="tap(row, column)">\
(${row} * DILATION_H % STRIDE_H * STRIDE_W + ${column} * DILATION_W % STRIDE_W) * phase + ${row} * DILATION_H / STRIDE_H * pitch + ${column} * DILATION_W / STRIDE_W\
</%def>\
## Writes the columns of the map that windows read into `line`, `outside` behind them. `vector(name, c)` is C for a vector of columns from c on,
## which starts at most at element last + c of x, `scalar` for a `value` of column c. Vectors run over the end of the row in the map, but
## never over the end of x; and over the end of `line`, into what is written later.
<%def name="write_row(stride, outside, vector, scalar, last)">\
            int c = 0;
            % if stride == 1:
            for (; c < inner && c <= size - LANES - (${last}); c += LANES) {
${vector("near", "c")}\
                WRITE_LANES(LANE_IDS < (mask)(inner - c) ? near : (vec)(${outside}), line + PAD_W + c);
            }
            % elif stride == 2:
            for (; c < inner && c <= size - 2 * LANES - (${last}); c += 2 * LANES) {
${vector("near", "c")}\
${vector("far", "c + LANES")}\
                const vec even = (vec)(near.even, far.even), odd = (vec)(near.odd, far.odd);
                WRITE_LANES(2 * LANE_IDS < (mask)(inner - c) ? even : (vec)(${outside}), line + PAD_W % 2 * phase + (PAD_W + c) / 2);
                WRITE_LANES(2 * LANE_IDS + 1 < (mask)(inner - c) ? odd : (vec)(${outside}), line + (PAD_W + 1) % 2 * phase + (PAD_W + 1 + c) / 2);
            }
            % endif
            for (; c < inner; ++c) {
${scalar}\
                line[(PAD_W + c) % STRIDE_W * phase + (PAD_W + c) / STRIDE_W] = value;
            }
</%def>\
## Copies the band of the map at x + map_at, with `outside` for what lies beyond it.
<%def name="copy_band(outside, stride)">\
<%
    vector = lambda name, c: f"                const vec {name} = READ(x + from + {c});\n"
    scalar = "                const float value = LOAD(x + from, c);\n"
%>\
        // The loops over windows read up to two vectors beyond the last row, in vain.
        for (int i = 0; i < STRIDE_H * STRIDE_W * phase + LANES; i += LANES) WRITE_LANES((vec)(${outside}), copy + i);
        for (int r = 0; r < (rows - 1) * STRIDE_H + REACH_H; ++r) {
            float *line = copy + r % STRIDE_H * STRIDE_W * phase + r / STRIDE_H * pitch;
            const int row = p0 * STRIDE_H - PAD_H + r;
            if (row < 0 || row >= height) continue;
            const int from = map_at + row * width;
${write_row(stride, outside, vector, scalar, "from")}\
        }
</%def>\
## Stores a row of results from y + row_at on. `compute` is C for a vector `value` of them, that from q on: all LANES if `whole`, else `live`.
## Whole vectors run over the end of the row, into the next one, which is stored later, but not to y + end.
<%def name="store_row(compute)">\
            for (int q = 0; q < q_count; q += LANES) {
                const int at = row_at + q;
                const int whole = at <= end - LANES;
                const int live = q_count - q < LANES ? q_count - q : LANES;
                vec value;
${compute}\
                if (whole) {
                    WRITE(value, y + at);
                } else {
                    float rest[LANES];
                    WRITE_LANES(value, rest);
                    for (int i = 0; i < live; ++i) STORE(y, at + i, rest[i]);
                }
            }
</%def>\
