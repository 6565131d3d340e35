## unpool_planes.cl.mako -- elements to positions of their plane (max unpooling), or, backward, from them.
##
## Positions outside of the plane are left out. A work-group does one plane; forward, its first work-item alone writes what the plane is not
## zero of, one element after the other, so that the last of several at one position wins, always the same one. Index space, fastest first:
##     get_global_id(0)  GROUP work-items share a plane
##     get_global_id(1)  plane
## Header constants: GROUP.   Render argument: backward.
<%page args="backward"/>\
% if not backward:
__kernel WORK_GROUP
void unpool_planes(
    __global const real *restrict x,        // planes, count
    __global const int *restrict indices,   // planes, count
    __global real *y,                       // planes, size
    const int planes, const int count, const int size)
{
    const int plane = (int)get_global_id(1);
    __global real *to = y + plane * size;
    for (int i = get_local_id(0); i < size; i += GROUP) STORE(to, i, 0.0f);
    barrier(CLK_GLOBAL_MEM_FENCE);
    if (get_local_id(0) == 0)
        for (int i = 0; i < count; ++i) {
            const int at = indices[plane * count + i];
            if (at >= 0 && at < size) STORE(to, at, LOAD(x, plane * count + i));
        }
}
% else:
__kernel WORK_GROUP
void unpool_planes_backward(
    __global const real *restrict dy,       // planes, size
    __global const int *restrict indices,   // planes, count
    __global real *restrict dx,             // planes, count
    const int planes, const int count, const int size)
{
    const int plane = (int)get_global_id(1);
    for (int i = get_local_id(0); i < count; i += GROUP) {
        const int at = indices[plane * count + i];
        const int known = at >= 0 && at < size;
        const float value = LOAD(dy, plane * size + (known ? at : 0));
        STORE(dx, plane * count + i, known ? value : 0.0f);
    }
}
% endif
