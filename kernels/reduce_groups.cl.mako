## reduce_groups.cl.mako -- y_i = post_i(sum, max or product of r_i over the reduced loops), shared by work-groups, for GPUs.
##
## As reduce_strided, statements(x0, x1, ...) give r0, r1, ...; the loops are kept rows, reduced rows, and columns (the innermost loop).
## A work-group computes GROUP / slices outputs; `slices` work-items, a power of two, share one of them, and their totals are combined in
## local memory as a tree: always in the same order.
## inner_reduced: neighbouring work-items share an output, `lanes` of them neighbouring columns of a reduced row, the others other rows.
## Otherwise: neighbours compute neighbouring outputs, and those that share one take different reduced rows.
## Index spaces:
##     get_group_id(0)  GROUP / slices outputs
##     get_group_id(1)  piece of the reduced loops
## With post, outputs are stored; without, partial results [piece][output].
##
## Header constants: GROUP, COMBINE(a, v), IDENTITY.   Render arguments: operands (Access), outputs (Target), totals (names), statements (C),
## post (expressions or None), inner_reduced, kept, reduced (numbers of outer loops).
<%page args="operands, outputs, totals, statements, post, inner_reduced, kept, reduced"/>\
<%def name="decode(pad, prefix, loops, index)">\
${pad}int ${prefix}${loops - 1} = ${index};
% for axis in range(loops - 1, 0, -1):
${pad}const int ${prefix}${axis - 1}${"" if axis == 1 else "_"} = ${prefix}${axis} / ${prefix}_extent${axis};
${pad}${prefix}${axis} -= ${prefix}${axis - 1}${"" if axis == 1 else "_"} * ${prefix}_extent${axis};
% if axis > 1:
${pad}int ${prefix}${axis - 1} = ${prefix}${axis - 1}_;
% endif
% endfor
</%def>\
<%def name="element(pad, column)">\
% for x in operands:
${pad}const ${x.value} ${x.name} = ${x.load(x.name + "_row", column)};
% endfor
% for statement in statements:
${pad}${statement}
% endfor
% for total in totals:
${pad}${total}_total = COMBINE(${total}_total, ${total});
% endfor
</%def>\
__kernel WORK_GROUP void reduce_groups(
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
    const int output_count, const int slices, const int row_count, const int rows_per_piece, const int column_count\
% if inner_reduced:
,
    const int lanes, const int columns_per_piece, const int column_pieces\
% endif
)
{
% for total in totals:
    __local float ${total}_shared[GROUP];
% endfor
    const int item = get_local_id(0);
    const int piece = get_group_id(1);
% if inner_reduced:
    const int slice = item % slices;
    const int own = item / slices;
    const int apart = 1;                // work-items from one slice to the next
    const int row_begin = piece / column_pieces * rows_per_piece;
    const int begin = piece % column_pieces * columns_per_piece + slice % lanes;
    const int end = min((piece % column_pieces + 1) * columns_per_piece, column_count);
    const int first = slice / lanes, every = slices / lanes;   // rows of a work-item
% else:
    const int apart = GROUP / slices;
    const int slice = item / apart;
    const int own = item - slice * apart;
    const int row_begin = piece * rows_per_piece;
    const int first = slice, every = slices;
% endif
    const int row_end = min(row_begin + rows_per_piece, row_count);
    const int output = (int)get_group_id(0) * (GROUP / slices) + own;
    const int live = min(output, output_count - 1);   // behind the last output: the last one again, not stored
% if inner_reduced:
${decode("    ", "kept", kept, "live")}\
% else:
    const int kept_row = live / column_count;
    const int column = live - kept_row * column_count;
${decode("    ", "kept", kept, "kept_row")}\
% endif
% for x in operands:
    __global const ${x.storage} *${x.name}_kept = ${x.name}_data${f" + {x.name}_offset" if x.shifted else ""}\
${"".join(f" + kept{axis} * {x.name}_kept{axis}" for axis in range(kept))};
% endfor
% for total in totals:
    float ${total}_total = IDENTITY;
% endfor

% if not inner_reduced:
    #pragma unroll 4
% endif
    for (int row = row_begin + first; row < row_end; row += every) {
${decode("        ", "reduced", reduced, "row")}\
    % for x in operands:
        __global const ${x.storage} *${x.name}_row = ${x.name}_kept\
${"".join(f" + reduced{axis} * {x.name}_reduced{axis}" for axis in range(reduced))};
    % endfor
    % if inner_reduced:
        #pragma unroll 4
        for (int column = begin; column < end; column += lanes) {
${element("            ", "column")}\
        }
    % else:
${element("        ", "column")}\
    % endif
    }

% for total in totals:
    ${total}_shared[item] = ${total}_total;
% endfor
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_way = slices / 2; half_way > 0; half_way /= 2) {
        if (slice < half_way) {
        % for total in totals:
            ${total}_shared[item] = COMBINE(${total}_shared[item], ${total}_shared[item + half_way * apart]);
        % endfor
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    if (slice == 0 && output < output_count) {
    % for total in totals:
        const float ${total} = ${total}_shared[item];
    % endfor
    % for i, y in enumerate(outputs):
    % if post is None:
        ${y.store(y.name + "_data", "piece * output_count + output", totals[i])}
    % else:
        { const float r = ${totals[i]}; ${y.store(y.name + "_data", "output", f"({post[i]})")} }
    % endif
    % endfor
    }
}
