## softmax_rows.cl.mako -- softmax or log_softmax along one axis; forward x -> y, backward y, dy -> dx.
##
## Plain tensors as line_count, length, inner. along (inner is 1): a work-item computes lines_per_item lines, with vectors along them.
## Otherwise: a work-item computes columns_per_item adjacent lines, with vectors across them.
## Index space: get_global_id(0) = block of lines, or line_count index * column_chunks + chunk of columns.
## In the expressions v is an element of x (backward: of y), d of dy; folds (Fold) are the totals they need.
## Render arguments: forward, folds, result, along, width, inlined (functions to write out: see inline_math).
<%page args="forward, folds, result, along, width, inlined"/>\
<%namespace name="common" file="common.cl.mako"/>\
<% source = "x" if forward else "y" %>\
<% target = "y" if forward else "dx" %>\
<%def name="element(kind, at)">\
const ${kind} v = ${"LOADU" if kind == "vec" else "LOAD"}(from, ${at});\
% if not forward:
 const ${kind} d = ${"LOADU" if kind == "vec" else "LOAD"}(gradient, ${at});\
% endif
</%def>\
<%def name="across(kind)">\
        % for fold in folds:
            ${kind} ${fold.name} = (${kind})(${fold.identity});
            for (int i = 0; i < length; ++i) {
                ${element(kind, "i * inner + column")}
                ${fold.name} = ${fold.step.format(fold.name)};
            }
        % endfor
            for (int i = 0; i < length; ++i) {
                ${element(kind, "i * inner + column")}
                ${"STOREU" if kind == "vec" else "STORE"}(to, i * inner + column, ${result});
            }
</%def>\
% if inlined:
${common.inline_math(inlined, kinds=(("float", "int"), (f"float{width}", f"int{width}"))[: 1 + (width > 1)])}\
% endif
__kernel WORK_GROUP void softmax_rows(
    __global const real *restrict ${source},   // line_count, length, inner
% if not forward:
    __global const real *restrict dy,
% endif
    __global real *restrict ${target},
% if along:
    const int lines_per_item,
% else:
    const int inner, const int columns_per_item, const int column_chunks,
% endif
    const int line_count, const int length)
{
% if width > 1:
    typedef vec loose __attribute__((aligned(4)));   // lines start at any element
% endif
% if along:
    const int first = (int)get_global_id(0) * lines_per_item;
    for (int line = first; line < min(first + lines_per_item, line_count); ++line) {
        __global const real *from = ${source} + line * length;
    % if not forward:
        __global const real *gradient = dy + line * length;
    % endif
        __global real *to = ${target} + line * length;
        int i;
    % for fold in folds:
        float ${fold.name} = ${fold.identity};
        i = 0;
    % if width > 1:
        vec ${fold.name}_lanes = (vec)(${fold.identity});
        for (; i + BLOCK <= length; i += BLOCK) {
            ${element("vec", "i")}
            ${fold.name}_lanes = ${fold.step.format(fold.name + "_lanes")};
        }
    % endif
        for (; i < length; ++i) {
            ${element("float", "i")}
            ${fold.name} = ${fold.step.format(fold.name)};
        }
    % if width > 1:
        for (int lane = 0; lane < BLOCK; ++lane) {
            const float v = ((float *)&${fold.name}_lanes)[lane];
            ${fold.name} = ${fold.merge.format(fold.name)};
        }
    % endif
    % endfor
        i = 0;
    % if width > 1:
        for (; i + BLOCK <= length; i += BLOCK) {
            ${element("vec", "i")}
            STOREU(to, i, ${result});
        }
    % endif
        for (; i < length; ++i) {
            ${element("float", "i")}
            STORE(to, i, ${result});
        }
    }
% else:
    const int line = (int)(get_global_id(0) / column_chunks);
    if (line >= line_count) return;
    int column = (int)(get_global_id(0) % column_chunks) * columns_per_item;
    const int end = column + min(columns_per_item, inner - column);
    __global const real *from = ${source} + line * length * inner;
    % if not forward:
    __global const real *gradient = dy + line * length * inner;
    % endif
    __global real *to = ${target} + line * length * inner;
    % if width > 1:
    for (; column + BLOCK <= end; column += BLOCK) {
${across("vec")}\
    }
    % endif
    for (; column < end; ++column) {
${across("float")}\
    }
% endif
}
% if inlined:
${common.undo_math(inlined)}\
% endif
