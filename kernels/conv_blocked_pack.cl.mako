## conv_blocked_pack.cl.mako -- plain weights of a chunk of input channels into the order in which a register tile reads them.
##
## BLOCK filters times BLOCK of their elements (channels and taps, which lie in a row) are read as vectors and transposed in registers. What
## the blocks leave over goes one by one.
## Header constants: BLOCK, TILE_K, STEP_WEIGHTS, READ(p), WRITE_LANES(v, p).
##
## `elements` of each of the tile's filters, from `plain` on, `length` from filter to filter, go to packed[element][filter of the tile];
## filters from `live` on are zero.
<%namespace name="transposing" file="transpose.cl.mako"/>\
<%def name="pack(block)">\
    for (int k = 0; k < TILE_K; ++k) {
        __global const real *rows = plain + k * BLOCK * length;
        const int live_rows = clamp(live - k * BLOCK, 0, BLOCK);
        float *to = packed + k * BLOCK;
        int e = 0;
        for (; live_rows == BLOCK && e + BLOCK <= elements; e += BLOCK) {
${transposing.transpose(block, lambda row: f"READ(rows + {row} * length + e)", lambda row, value: f"WRITE_LANES({value}, to + (e + {row}) * STEP_WEIGHTS)")}\
        }
        for (; e < elements; ++e)
            for (int row = 0; row < BLOCK; ++row)
                to[e * STEP_WEIGHTS + row] = row < live_rows ? LOAD(rows, row * length + e) : 0.0f;
    }
</%def>\
