// unpool_planes
#define GROUP 64
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(64, 1, 1)))
#define unpool_planes_backward unpool_planes_backward_6d93125f1842

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

#undef GROUP
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef unpool_planes_backward
