## reduce_strided.cl.mako -- y_i = post_i(sum or max of r_i over the reduced loops), where statements(x0, x1, ...) give r0, r1, ...
##
## The loops: kept rows (outer kept loops), reduced rows (outer reduced loops), columns (the innermost loop of all).
## inner_reduced: a work-item computes kept_per_item outputs, each from LANES partial results and one for the rest of a row.
## Otherwise: a work-item computes columns_per_item (at most RUN) adjacent outputs in each of kept_per_item kept rows.
## Either way PIECE terms make a partial result before it joins its total: rounding errors grow with the length of a chain of sums.
## Index space: get_global_id(0) = piece of the reduced loops * blocks of outputs + block of outputs.
## With post, outputs are stored; without, partial results [piece][output].
## Render arguments: operands (Access), outputs (Target), totals (names), statements (C), post (expressions or None), inner_reduced,
## kept, reduced (numbers of outer loops), inlined (functions to write out: see inline_math).
<%page args="operands, outputs, totals, statements, post, inner_reduced, kept, reduced, inlined"/>\
<%namespace name="common" file="common.cl.mako"/>\
<%def name="decode(pad, prefix, loops, index)">\
% if loops:
${pad}int ${prefix}${loops - 1} = ${index};
% for axis in range(loops - 1, 0, -1):
${pad}int ${prefix}${axis - 1} = ${prefix}${axis} / ${prefix}_extent${axis};
${pad}${prefix}${axis} %= ${prefix}_extent${axis};
% endfor
% endif
</%def>\
<%def name="advance(pad, prefix, loops)">\
% if loops:
${pad}++${prefix}${loops - 1};
% for axis in range(loops - 1, 0, -1):
${pad}if (${prefix}${axis} == ${prefix}_extent${axis}) { ${prefix}${axis} = 0; ++${prefix}${axis - 1}; }
% endfor
% endif
</%def>\
<%def name="element(pad, column)">\
% for x in operands:
% if x.step != "0":
${pad}const ${x.value} ${x.name} = ${x.load(x.name + "_row", column)};
% endif
% endfor
% for statement in statements:
${pad}${statement}
% endfor
</%def>\
<%def name="join(pad)">\
% for total in totals:
% if inner_reduced:
${pad}for (int lane = 0; lane < LANES; ++lane) {
${pad}    ${total}_rest = COMBINE(${total}_rest, ${total}_lane[lane]);
${pad}    ${total}_lane[lane] = IDENTITY;
${pad}}
${pad}${total}_total = COMBINE(${total}_total, ${total}_rest);
${pad}${total}_rest = IDENTITY;
% else:
${pad}for (int i = 0; i < end - begin; ++i) {
${pad}    ${total}_total[i] = COMBINE(${total}_total[i], ${total}_piece[i]);
${pad}    ${total}_piece[i] = IDENTITY;
${pad}}
% endif
% endfor
</%def>\
<%def name="result(values, at)">\
            % for total, value in zip(totals, values):
            const float ${total} = ${value};
            % endfor
            % for i, y in enumerate(outputs):
            % if post is None:
            ${y.store(y.name + "_data", f"piece * output_count + {at}", totals[i])}
            % else:
            { const float r = ${totals[i]}; ${y.store(y.name + "_data", at, f"({post[i]})")} }
            % endif
            % endfor
</%def>\

% if inlined:
${common.inline_math(inlined)}\
% endif
__kernel WORK_GROUP void reduce_strided(
% for x in operands:
    __global const ${x.storage} *${x.name}_data,
    % if x.shifted:
    const int ${x.name}_offset,
    % endif
    % for axis in range(kept):
    const int ${x.name}_kept${axis},
    % endfor
    % for axis in range(reduced):
    const int ${x.name}_reduced${axis},
    % endfor
    % if x.step not in ("0", "1"):
    const int ${x.step},
    % endif
% endfor
% for y in outputs:
    __global ${y.storage} *${y.name}_data,
% endfor
% for axis in range(1, kept):
    const int kept_extent${axis},
% endfor
% for axis in range(1, reduced):
    const int reduced_extent${axis},
% endfor
% if post is not None:
    const float count,
% endif
    const int kept_count,
    const int kept_per_item,
    const int row_count,
    const int rows_per_piece,
    const int column_count,
% if inner_reduced:
    const int columns_per_piece,
    const int column_pieces,
% else:
    const int columns_per_item,
    const int runs,
% endif
    const int piece_count)
{
    const int kept_blocks = (kept_count + kept_per_item - 1) / kept_per_item;
% if inner_reduced:
    const int blocks = kept_blocks;
    const int output_count = kept_count;
% else:
    const int blocks = kept_blocks * runs;
    const int output_count = kept_count * column_count;
% endif
    const int piece = (int)(get_global_id(0) / blocks);
    const int block = (int)(get_global_id(0) % blocks);
    if (piece >= piece_count) return;

% if inner_reduced:
    const int kept_begin = block * kept_per_item;
    const int row_begin = piece / column_pieces * rows_per_piece;
    const int begin = piece % column_pieces * columns_per_piece;
    const int end = begin + min(columns_per_piece, column_count - begin);
% else:
    const int kept_begin = block / runs * kept_per_item;
    const int row_begin = piece * rows_per_piece;
    const int begin = block % runs * columns_per_item;
    const int end = begin + min(columns_per_item, column_count - begin);
% endif
    const int kept_end = kept_begin + min(kept_per_item, kept_count - kept_begin);
    const int row_end = row_begin + min(rows_per_piece, row_count - row_begin);
${decode("    ", "kept", kept, "kept_begin")}\

    for (int kept_row = kept_begin; kept_row < kept_end; ++kept_row) {
    % for x in operands:
        __global const ${x.storage} *${x.name}_kept = ${x.name}_data${f" + {x.name}_offset" if x.shifted else ""}\
${"".join(f" + kept{axis} * {x.name}_kept{axis}" for axis in range(kept))};
    % endfor
    % for total in totals:
    % if inner_reduced:
        float ${total}_total = IDENTITY, ${total}_rest = IDENTITY, ${total}_lane[LANES];
        for (int lane = 0; lane < LANES; ++lane) ${total}_lane[lane] = IDENTITY;
    % else:
        float ${total}_total[RUN], ${total}_piece[RUN];
        for (int i = 0; i < end - begin; ++i) ${total}_total[i] = ${total}_piece[i] = IDENTITY;
    % endif
    % endfor
        int unjoined = 0;   // ${"elements" if inner_reduced else "rows"} since the partial results last joined the totals
${decode("        ", "reduced", reduced, "row_begin")}\
        for (int row = row_begin; row < row_end; ++row) {
        % for x in operands:
            __global const ${x.storage} *${x.name}_row = ${x.name}_kept\
${"".join(f" + reduced{axis} * {x.name}_reduced{axis}" for axis in range(reduced))};
        % endfor
        % for x in operands:
        % if x.step == "0":
            const ${x.value} ${x.name} = ${x.load(x.name + "_row", "0")};
        % endif
        % endfor
        % if inner_reduced:
            for (int column0 = begin; column0 < end; column0 += PIECE * LANES) {
                const int piece_end = column0 + min(PIECE * LANES, end - column0);
                int column = column0;
                for (; column + LANES <= piece_end; column += LANES) {
                    #pragma unroll
                    for (int lane = 0; lane < LANES; ++lane) {
${element("                        ", "column + lane")}\
                    % for total in totals:
                        ${total}_lane[lane] = COMBINE(${total}_lane[lane], ${total});
                    % endfor
                    }
                }
                for (; column < piece_end; ++column) {
${element("                    ", "column")}\
                % for total in totals:
                    ${total}_rest = COMBINE(${total}_rest, ${total});
                % endfor
                }
                unjoined += piece_end - column0;
                if (unjoined >= PIECE * LANES) {
                    unjoined = 0;
${join("                    ")}\
                }
            }
        % else:
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)
#endif
            for (int column = begin; column < end; ++column) {
${element("                ", "column")}\
                % for total in totals:
                ${total}_piece[column - begin] = COMBINE(${total}_piece[column - begin], ${total});
                % endfor
            }
            if (++unjoined == PIECE) {
                unjoined = 0;
${join("                ")}\
            }
        % endif
${advance("            ", "reduced", reduced)}\
        }
${join("        ")}\
    % if inner_reduced:
        {
${result([total + "_total" for total in totals], "kept_row")}\
        }
    % else:
        for (int column = begin; column < end; ++column) {
${result([total + "_total[column - begin]" for total in totals], "kept_row * column_count + column")}\
        }
    % endif
${advance("        ", "kept", kept)}\
    }
}
% if inlined:
${common.undo_math(inlined)}\
% endif
