// window_copy
#define GROUP 1
#define element uint
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define window_copy window_copy_0d24e5154232

__kernel WORK_GROUP
void window_copy(
    __global const element *restrict x,     // A, B, C, D, E
    __global element *restrict y,           // its own A, B, C, D, E
    const int x_a, const int x_b, const int x_c, const int x_d, const int x_e,
    const int y_a, const int y_b, const int y_c, const int y_d, const int y_e,
    const int before_a, const int before_b, const int before_c, const int before_d, const int before_e,
    const uint fill, const int tasks_each)
{
    const int tasks = y_a * y_b * y_c * y_d;
    const int first = get_global_id(1) * tasks_each;
    const int lowest = before_e > 0 ? (before_e < y_e ? before_e : y_e) : 0;
    const int highest = x_e + before_e < y_e ? x_e + before_e : y_e;
    for (int task = first; task < first + tasks_each && task < tasks; ++task) {
        const int d = task % y_d - before_d;
        const int c = task / y_d % y_c - before_c;
        const int b = task / y_d / y_c % y_b - before_b;
        const int a = task / y_d / y_c / y_b - before_a;
        const bool inside = a >= 0 && a < x_a && b >= 0 && b < x_b && c >= 0 && c < x_c && d >= 0 && d < x_d;
        const int begin = inside ? lowest : y_e;
        const int end = inside ? highest : 0;
        const int from = inside ? (((a * x_b + b) * x_c + c) * x_d + d) * x_e - before_e : 0;
        __global element *restrict to = y + task * y_e;
        int e = get_local_id(0);
        for (; e < begin; e += GROUP) to[e] = fill;
        for (; e < end; e += GROUP) to[e] = x[from + e];
        for (; e < y_e; e += GROUP) to[e] = fill;
    }
}

#undef GROUP
#undef element
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef window_copy
