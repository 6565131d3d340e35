## map_strided.cl.mako -- y0, y1, ... = statements(x0, x1, ...), element by element, over any strides.
##
## One work-item computes columns_per_item elements of the innermost loop (the columns), in rows_per_item rows; a row is one
## position of the outer loops. Index space: get_global_id(0) = block of rows * column_chunks + chunk of columns.
## Outputs, and operands marked flat, lie in the order of the loops; the others have a stride for each outer loop.
## An operand may be the memory of an output: an element is read before it is written, by the same work-item.
## Render arguments: operands (Access), outputs, statements (C), scalars (name, type), outer (number of outer
## loops), uses_index, random_word, inlined (functions to write out: see inline_math).
<%page args="operands, outputs, statements, scalars, outer, uses_index, random_word, inlined"/>\
<%namespace name="common" file="common.cl.mako"/>\
% if random_word:
${common.random_word()}
% endif
% if inlined:
${common.inline_math(inlined)}\
% endif

__kernel WORK_GROUP void map_strided(
% for x in operands:
    __global const ${x.storage} *${x.name}_data,
    % if x.shifted:
    const int ${x.name}_offset,
    % endif
    % if not x.flat:
    % for axis in range(outer):
    const int ${x.name}_stride${axis},
    % endfor
    % if x.step not in ("0", "1"):
    const int ${x.step},
    % endif
    % endif
% endfor
% for y in outputs:
    __global ${y.storage} *${y.name}_data,
% endfor
% for name, kind in scalars:
    const ${kind} ${name},
% endfor
% if outer:
    const int row_count,
    const int rows_per_item,
% for axis in range(1, outer):
    const int extent${axis},
% endfor
% endif
    const uint item_count,
    const int column_count,
    const int columns_per_item,
    const uint column_chunks)
{
    const uint item = get_global_id(0);
    if (item >= item_count) return;
    const int begin = (int)(item % column_chunks) * columns_per_item;
    const int end = begin + min(columns_per_item, column_count - begin);
% if outer:
    const int row_begin = (int)(item / column_chunks) * rows_per_item;
    const int row_end = row_begin + min(rows_per_item, row_count - row_begin);
    int position${outer - 1} = row_begin;
% for axis in range(outer - 1, 0, -1):
    int position${axis - 1} = position${axis} / extent${axis};
    position${axis} %= extent${axis};
% endfor
% else:
    const int row_begin = 0, row_end = 1;
% endif

    for (int row = row_begin; row < row_end; ++row) {
        const int first = row * column_count;
    % for x in operands:
        __global const ${x.storage} *${x.name}_row = ${x.name}_data${" + first" if x.flat and outer else ""}\
${f" + {x.name}_offset" if x.shifted else ""}\
${"" if x.flat else "".join(f" + position{axis} * {x.name}_stride{axis}" for axis in range(outer))};
    % endfor
    % for x in operands:
    % if x.step == "0":
        const ${x.value} ${x.name} = ${x.load(x.name + "_row", "0")};
    % endif
    % endfor
    % for y in outputs:
        __global ${y.storage} *${y.name}_row = ${y.name}_data + first;
    % endfor
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)   // in place is safe: an element is read before it is written
#endif
        for (int column = begin; column < end; ++column) {
        % if uses_index:
            const uint index = (uint)(first + column);
        % endif
        % for x in operands:
        % if x.step != "0":
            const ${x.value} ${x.name} = ${x.load(x.name + "_row", "column")};
        % endif
        % endfor
        % for statement in statements:
            ${statement}
        % endfor
        % for y in outputs:
            ${y.store(y.name + "_row", "column", y.name)}
        % endfor
        }
    % if outer:
        ++position${outer - 1};
    % for axis in range(outer - 1, 0, -1):
        if (position${axis} == extent${axis}) { position${axis} = 0; ++position${axis - 1}; }
    % endfor
    % endif
    }
}
% if inlined:
${common.undo_math(inlined)}\
% endif
