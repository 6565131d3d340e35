## softmax_groups.cl.mako -- softmax or log_softmax along one axis, lines shared by work-items, for GPUs; forward x -> y, backward y, dy -> dx.
##
## Plain tensors as outer, length, inner: line l is element l % inner of entry l / inner. A work-group computes GROUP / slices lines; `slices`
## work-items, a power of two, share a line, each every so many-th element. Their totals are combined in local memory as a tree, always in
## the same order. Where inner is 1 neighbouring work-items share a line, else they have neighbouring lines: `apart` is the number of
## work-items from one slice to the next, 1 or GROUP / slices.
## Index space: get_group_id(0) is GROUP / slices lines.
##
## In the expressions v is an element of x (backward: of y), d of dy; folds (Fold) are the totals they need.
## Header constant: GROUP.   Render arguments: forward, folds, result.
<%page args="forward, folds, result"/>\
<% source = "x" if forward else "y" %>\
<% target = "y" if forward else "dx" %>\
<%def name="element()">\
const float v = LOAD(from, i * inner);\
% if not forward:
 const float d = LOAD(gradient, i * inner);\
% endif
</%def>\
__kernel WORK_GROUP void softmax_groups(
    __global const real *restrict ${source},   // outer, length, inner
% if not forward:
    __global const real *restrict dy,
% endif
    __global real *restrict ${target},
    const int line_count, const int length, const int inner, const int slices, const int apart)
{
    __local float shared[GROUP];
    const int item = get_local_id(0);
    const int slice = item / apart % slices;
    const int own = apart == 1 ? item / slices : item % apart;
    const int line = (int)get_group_id(0) * (GROUP / slices) + own;
    const int live = min(line, line_count - 1);   // behind the last line: the last one again, not stored
    const int entry = live / inner;
    const int at = entry * length * inner + live - entry * inner;
    __global const real *from = ${source} + at;
% if not forward:
    __global const real *gradient = dy + at;
% endif
% for fold in folds:

    float ${fold.name} = ${fold.identity};
    for (int i = slice; i < length; i += slices) {
        ${element()}
        ${fold.name} = ${fold.step.format(fold.name)};
    }
    shared[item] = ${fold.name};
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_way = slices / 2; half_way > 0; half_way /= 2) {
        if (slice < half_way) {
            const float v = shared[item + half_way * apart];
            shared[item] = ${fold.merge.format("shared[item]")};
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    ${fold.name} = shared[item - slice * apart];
    barrier(CLK_LOCAL_MEM_FENCE);   // all have read it before the next total comes
% endfor

    if (line >= line_count) return;
    for (int i = slice; i < length; i += slices) {
        ${element()}
        STORE(${target}, at + i * inner, ${result});
    }
}
