## transpose.cl.mako -- BLOCK vectors of BLOCK elements, transposed in registers.
##
## log2(BLOCK) times, the first half of the vectors is shuffled into the second like cards: of 16 x 16 numbers in 90 cycles. Measured: a loop
## over arrays of vectors takes twice as long; lanes written out one by one build in half the time, but a kernel that packs with them is a
## tenth slower.
##
## `load` and `store` give C for vector number i: the expression that reads it, and the statement that writes `value` there.
<%def name="transpose(block, load, store)">\
        % for row in range(block):
            const vec row0_${row} = ${load(row)};
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
            ${store(row, f"row{stage}_{row}")};
        % endfor
</%def>\
