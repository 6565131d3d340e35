## conv_blocked_pack.cl.mako -- plain weights of a chunk of input channels into the order in which a register tile reads them.
##
## BLOCK filters times BLOCK of their elements (channels and taps, which lie in a row) are read as vectors and transposed in registers:
## log2(BLOCK) times, the first half of the vectors is shuffled into the second like cards. What the blocks leave over goes one by one.
## Measured: a loop over arrays of vectors takes twice as long, lanes written out one by one build in half the time, but the whole kernel
## is a tenth slower.
## Header constants: BLOCK, TILE_K, STEP_WEIGHTS, READ(p), WRITE_LANES(v, p).
##
## `elements` of each of the tile's filters, from `plain` on, `length` from filter to filter, go to packed[element][filter of the tile];
## filters from `live` on are zero.
<%def name="pack(block)">\
    for (int k = 0; k < TILE_K; ++k) {
        __global const real *rows = plain + k * BLOCK * length;
        const int live_rows = clamp(live - k * BLOCK, 0, BLOCK);
        float *to = packed + k * BLOCK;
        int e = 0;
        for (; live_rows == BLOCK && e + BLOCK <= elements; e += BLOCK) {
        % for row in range(block):
            const vec row0_${row} = READ(rows + ${row} * length + e);
        % endfor
<% half, stage = block // 2, 0 %>\
        % while 2**stage < block:
        % for row in range(half):
            vec row${stage + 1}_${2 * row}, row${stage + 1}_${2 * row + 1};
            row${stage + 1}_${2 * row}.even = row${stage}_${row}.lo;
            row${stage + 1}_${2 * row}.odd = row${stage}_${row + half}.lo;
            row${stage + 1}_${2 * row + 1}.even = row${stage}_${row}.hi;
            row${stage + 1}_${2 * row + 1}.odd = row${stage}_${row + half}.hi;
        % endfor
<% stage += 1 %>\
        % endwhile
        % for row in range(block):
            WRITE_LANES(row${stage}_${row}, to + (e + ${row}) * STEP_WEIGHTS);
        % endfor
        }
        for (; e < elements; ++e)
            for (int row = 0; row < BLOCK; ++row)
                to[e * STEP_WEIGHTS + row] = row < live_rows ? LOAD(rows, row * length + e) : 0.0f;
    }
</%def>\
