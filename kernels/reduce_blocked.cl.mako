## reduce_blocked.cl.mako -- y_i = post_i(sum or max of r_i over the positions of planes, or over images too), where statements(x0, x1, ...)
## give r0, r1, ..., on channel-blocked tensors.
##
## reduce_rows: one work-item reduces a range of rows, counted through all images, of one channel block: PIECE columns of a row for
## themselves, then into the total of each lane, since rounding errors grow with the length of a chain of sums. It stores what post makes of the totals (then a split is an image), or the totals themselves. Index space, fastest
## first:
##     get_global_id(0)  channel block
##     get_global_id(1)  split of the rows
## reduce_splits: one work-item joins the totals of one channel block in order. Index space: get_global_id(0) = channel block.
##
## partial: splits, results, channel blocks * BLOCK   (float)
## Header constants: BLOCK, PIECE (rows only), COMBINE(a, v), IDENTITY.   Render arguments: kernel ("rows" or "splits"), post (expressions, or None where the
##     totals are stored), outputs (Target), results (how many), full and small (Operand), statements (C), inlined (functions to write out:
##     see inline_math).
<%page args="kernel, post, outputs, results, inlined, full=(), small=(), statements=()"/>\
<%namespace name="common" file="common.cl.mako"/>\
<%def name="store_results(at)">\
    for (int lane = 0; lane < lanes; ++lane) {
        % for i, y in enumerate(outputs):
        {
            const float r = total${i}[lane];
            ${y.store(f"{y.name}_data", f"{at} + lane", f"({post[i]})")}
        }
        % endfor
    }
</%def>\
% if inlined:
${common.inline_math(inlined)}\
% endif
% if kernel == "rows":
__kernel WORK_GROUP
void reduce_rows(
    % for x in full:
    __global const ${x.storage} *restrict ${x.name}_data,   // N, channel blocks, rows, columns, BLOCK
    const int ${x.name}_offset, const int ${x.name}_image, const int ${x.name}_plane, const int ${x.name}_row,
    % endfor
    % for x in small:
    __global const ${x.storage} *restrict ${x.name}_data,
    const int ${x.name}_image, const int ${x.name}_channel,
    % endfor
    % if post is None:
    __global float *restrict partial,
    % else:
    % for y in outputs:
    __global ${y.storage} *restrict ${y.name}_data,         // N, C
    % endfor
    const float count,
    % endif
    const int channels,
    const int positions,          // of a plane
    const int row_count, const int width,
    const int units, const int splits)
{
    const int block = (int)get_global_id(0);
    const int split = (int)get_global_id(1);
    const int lanes = min(BLOCK, channels - block * BLOCK);
    const int end = (int)((long)(split + 1) * units / splits);
    % for i in range(results):
    float total${i}[BLOCK];
    for (int lane = 0; lane < BLOCK; ++lane)
        total${i}[lane] = IDENTITY;
    % endfor

    for (int unit = (int)((long)split * units / splits); unit < end;) {
        const int image = unit / row_count;
        const int row0 = unit - image * row_count;
        const int row1 = min(row_count, row0 + end - unit);
        unit += row1 - row0;
        % for x in small:
        float ${x.name}_lane[BLOCK];
        for (int lane = 0; lane < BLOCK; ++lane) {
            const int at = image * ${x.name}_image + (block * BLOCK + min(lane, lanes - 1)) * ${x.name}_channel;
            ${x.name}_lane[lane] = ${x.load(f"{x.name}_data", "at")};
        }
        % endfor
        for (int row = row0; row < row1; ++row) {
            const int columns = min(width, positions - row * width);
            % for x in full:
            __global const ${x.storage} *${x.name}_at = ${x.name}_data + (size_t)image * ${x.name}_image
                + block * ${x.name}_plane + ${x.name}_offset + row * ${x.name}_row;
            % endfor
            for (int column0 = 0; column0 < columns; column0 += PIECE) {
                const int piece_end = min(columns, column0 + PIECE);
                % for i in range(results):
                float sum${i}[BLOCK];
                for (int lane = 0; lane < BLOCK; ++lane)
                    sum${i}[lane] = IDENTITY;
                % endfor
                for (int column = column0; column < piece_end; ++column)
                    for (int lane = 0; lane < BLOCK; ++lane) {
                        % for x in full:
                        const float ${x.name} = ${x.load(f"{x.name}_at", "column * BLOCK + lane")};
                        % endfor
                        % for x in small:
                        const float ${x.name} = ${x.name}_lane[lane];
                        % endfor
                        % for statement in statements:
                        ${statement}
                        % endfor
                        % for i in range(results):
                        sum${i}[lane] = COMBINE(sum${i}[lane], r${i});
                        % endfor
                    }
                % for i in range(results):
                for (int lane = 0; lane < BLOCK; ++lane)
                    total${i}[lane] = COMBINE(total${i}[lane], sum${i}[lane]);
                % endfor
            }
        }
    }
    % if post is None:
    % for i in range(results):
    for (int lane = 0; lane < BLOCK; ++lane)
        partial[((size_t)(split * ${results} + ${i}) * get_global_size(0) + block) * BLOCK + lane] = total${i}[lane];
    % endfor
    % else:
${store_results("(size_t)split * channels + block * BLOCK")}\
    % endif
}
% else:
__kernel WORK_GROUP
void reduce_splits(
    __global const float *restrict partial,
    % for y in outputs:
    __global ${y.storage} *restrict ${y.name}_data,   // C
    % endfor
    const float count,
    const int channels,
    const int splits)
{
    const int block = (int)get_global_id(0);
    const int lanes = min(BLOCK, channels - block * BLOCK);
    % for i in range(results):
    float total${i}[BLOCK];
    for (int lane = 0; lane < BLOCK; ++lane)
        total${i}[lane] = IDENTITY;
    for (int split = 0; split < splits; ++split)
        for (int lane = 0; lane < BLOCK; ++lane) {
            const float more = partial[((size_t)(split * ${results} + ${i}) * get_global_size(0) + block) * BLOCK + lane];
            total${i}[lane] = COMBINE(total${i}[lane], more);
        }
    % endfor
${store_results("block * BLOCK")}\
}
% endif
% if inlined:
${common.undo_math(inlined)}\
% endif
