// unpool_planes
#define GROUP 1
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define unpool_planes unpool_planes_ef005f1750a9

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

#undef GROUP
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef unpool_planes
