"""Small made-up logs in published formats, with the headers of the published files from the sources named here."""

import csv
import io

# https://github.com/tswsxk/EduData, docs/ASSISTments2009-2010.ipynb
ASSISTMENTS_2009 = (
    "order_id,assignment_id,user_id,assistment_id,problem_id,original,correct,attempt_count,ms_first_response,"
    "tutor_mode,answer_type,sequence_id,student_class_id,position,type,base_sequence_id,skill_id,skill_name,teacher_id,"
    "school_id,hint_count,hint_total,overlap_time,template_id,answer_id,answer_text,first_action,bottom_hint,"
    "opportunity,opportunity_original"
)
# https://sites.google.com/site/assistmentsdata/datasets/2012-13-school-data-with-affect. Names and sequence are those
# in an audit of the published file. It has 6,123,270 rows in 82,773,406 lines: cells of `actions` have several lines.
ASSISTMENTS_2012 = (
    "problem_log_id,skill,problem_id,user_id,assignment_id,assistment_id,start_time,end_time,problem_type,original,"
    "correct,bottom_hint,hint_count,actions,attempt_count,ms_first_response,tutor_mode,sequence_id,student_class_id,"
    "position,type,base_sequence_id,skill_id,teacher_id,school_id,overlap_time,template_id,answer_id,answer_text,"
    "first_action,problemlogid,Average_confidence(FRUSTRATED),Average_confidence(CONFUSED),"
    "Average_confidence(CONCENTRATING),Average_confidence(BORED)"
)
# https://github.com/tswsxk/EduData, docs/ASSISTments/ASSISTments2015.ipynb
ASSISTMENTS_2015 = "user_id,log_id,sequence_id,correct"
# https://github.com/tswsxk/EduData, docs/ASSISTments/ASSISTments2017.ipynb
ASSISTMENTS_2017 = (
    "studentId,MiddleSchoolId,InferredGender,SY ASSISTments Usage,AveKnow,AveCarelessness,AveCorrect,NumActions,"
    "AveResBored,AveResEngcon,AveResConf,AveResFrust,AveResOfftask,AveResGaming,action_num,skill,problemId,problemType,"
    "assignmentId,assistmentId,startTime,endTime,timeTaken,correct,original,hint,hintCount,hintTotal,scaffold,"
    "bottomHint,attemptCount,frIsHelpRequest,frPast5HelpRequest,frPast8HelpRequest,stlHintUsed,past8BottomOut,"
    "totalFrPercentPastWrong,totalFrPastWrongCount,frPast5WrongCount,frPast8WrongCount,totalFrTimeOnSkill,"
    "timeSinceSkill,frWorkingInSchool,totalFrAttempted,totalFrSkillOpportunities,responseIsFillIn,responseIsChosen,"
    "endsWithScaffolding,endsWithAutoScaffolding,frTimeTakenOnScaffolding,frTotalSkillOpportunitiesScaffolding,"
    "totalFrSkillOpportunitiesByScaffolding,frIsHelpRequestScaffolding,timeGreater5Secprev2wrong,sumRight,"
    "helpAccessUnder2Sec,timeGreater10SecAndNextActionRight,consecutiveErrorsInRow,sumTime3SDWhen3RowRight,"
    "sumTimePerSkill,totalTimeByPercentCorrectForskill,Prev5count,timeOver80,manywrong,confidence(BORED),"
    "confidence(CONCENTRATING),confidence(CONFUSED),confidence(FRUSTRATED),confidence(OFF TASK),confidence(GAMING),"
    "RES_BORED,RES_CONCENTRATING,RES_CONFUSED,RES_FRUSTRATED,RES_OFFTASK,RES_GAMING,Ln-1,Ln,MCAS,Enrolled,Selective,"
    "isSTEM"
)
# https://github.com/tswsxk/EduData, docs/junyi.md
JUNYI = (
    "user_id,exercise,problem_type,problem_number,topic_mode,suggested,review_mode,time_done,time_taken,"
    "time_taken_attempts,correct,count_attempts,hint_used,count_hints,hint_time_taken_list,earned_proficiency,"
    "points_earned"
)
# https://github.com/tswsxk/EduData, docs/KDD Cup 2010.md
KDD_CUP = (
    "Row\tAnon Student Id\tProblem Hierarchy\tProblem Name\tProblem View\tStep Name\tStep Start Time\t"
    "First Transaction Time\tCorrect Transaction Time\tStep End Time\tStep Duration (sec)\t"
    "Correct Step Duration (sec)\tError Step Duration (sec)\tCorrect First Attempt\tIncorrects\tHints\tCorrects\t"
    "KC(Default)\tOpportunity(Default)"
)
# The same with the skills of Bridge to Algebra 2006–2007, as https://www.kdd.org/kdd-cup/view/
# kdd-cup-2010-student-performance-evaluation/Data describes them: one pair of columns per model of skills.
BRIDGE = KDD_CUP.replace(
    "KC(Default)\tOpportunity(Default)",
    "KC(SubSkills)\tOpportunity(SubSkills)\tKC(KTracedSkills)\tOpportunity(KTracedSkills)",
)
# https://github.com/tswsxk/EduData, docs/OLI_Fall2011/OLI_2011F_step.ipynb, for a model of skills with the name F2011
DATASHOP = (
    "Row\tSample\tAnon Student Id\tProblem Hierarchy\tProblem Name\tProblem View\tStep Name\tStep Start Time\t"
    "First Transaction Time\tCorrect Transaction Time\tStep End Time\tStep Duration (sec)\t"
    "Correct Step Duration (sec)\tError Step Duration (sec)\tFirst Attempt\tIncorrects\tHints\tCorrects\tCondition\t"
    "KC (F2011)\tOpportunity (F2011)\tPredicted Error Rate (F2011)"
)
# https://github.com/riiid/ednet, README.md, and https://github.com/tswsxk/EduData, docs/EdNet_KT1/EdNet_KT1.ipynb
EDNET = "timestamp,solving_id,question_id,user_answer,elapsed_time"
EDNET_QUESTIONS = "question_id,bundle_id,explanation_id,correct_answer,part,tags,deployed_at"


def table(header, *rows, delimiter=",", filler=""):
    """Return a file with a header and rows, each a mapping of some columns; the other cells have `filler`."""
    names = header.split(delimiter)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        assert set(row) <= set(names), set(row) - set(names)
        writer.writerow([row.get(name, filler) for name in names])
    return text.getvalue()


def rows_of(names, text):
    """Return rows as mappings: `text` has one row per line and one word per name; - is an empty cell."""
    names = names.split(",")
    return [
        {name: "" if word == "-" else word for name, word in zip(names, line.split(), strict=True)}
        for line in text.strip().splitlines()
    ]


ACTIONS = '--- \n- - start\n  - 1348859487000\n  - "95"\n- - answer\n  - 1348859490000\n  - false\n  - 1,5\n'
"""A cell of ASSISTments 2012: YAML of several lines, with quotes."""

LOGS = {
    "assistments-2009": table(
        ASSISTMENTS_2009,
        *rows_of(
            "order_id,user_id,problem_id,original,correct,skill_id,ms_first_response,attempt_count,hint_count,answer_text",
            """
            30 u1 7 1 1 10     32000 1 0 26
            10 u1 5 1 0 11.0   -5000 2 1 é
            10 u1 5 1 0 12     -5000 2 1 é
            20 u1 6 0 1 10     1000  1 0 x
            25 u2 7 1 1 -      1000  1 0 x
            26 u2 7 1 0.5 10   1000  1 0 x
            27 u2 8 1 1 10_12  2500  1 - x
            28 u2 9 1 1 10     2500  1 0 x
            """,
        ),
    ),
    "assistments-2012": table(
        ASSISTMENTS_2012,
        *(
            row | {"start_time": row["start_time"].replace("_", " "), "actions": ACTIONS}
            for row in rows_of(
                "problem_log_id,user_id,problem_id,skill_id,skill,start_time,correct,ms_first_response,attempt_count,"
                "hint_count,original",
                """
                1 u1 7 10 a 2012-09-28_15:11:05.0  1   1500 1 0 1
                2 u1 8 10 a 2012-09-28_15:10:00.25 0   2000 3 2 0
                3 u1 9 -  - 2012-09-28_15:12:00.0  1   2000 1 0 1
                4 u1 9 11 b 2012-09-28_15:12:00.0  0.7 2000 1 0 1
                6 u2 9 11 b 2012-10-01_08:00:00    1   -1   1 0 1
                5 u2 7 10 a 2012-10-01_08:00:00.0  0   100  1 0 1
                """,
            )
        ),
    ),
    "assistments-2015": table(
        ASSISTMENTS_2015,
        *rows_of(
            "user_id,log_id,sequence_id,correct",
            """
            501 10003 7014 1
            501 9995 7014 0.0
            501 10013 7014 0.25
            502 10001 7020 1.0
            """,
        ),
    ),
    "assistments-2017": table(
        ASSISTMENTS_2017,
        *rows_of(
            "studentId,skill,problemId,startTime,timeTaken,correct,original,hintCount,attemptCount",
            """
            8 area  1118 1100000301 49.0 0 1 1 0
            8 area  1119 1100000350 4.0  1 0 0 1
            8 angle 1120 1100000350 6.5  0 0 0 1
            9 -     1120 1100000000 6.5  0 0 0 1
            9 angle 1120 1100000000 -    1 0 0 1
            9 noskill 1121 1100000001 2.0 1 1 0 1
            """,
        ),
    ),
    "junyi": table(
        JUNYI,
        *rows_of(
            "user_id,exercise,time_done,time_taken,correct,count_attempts,count_hints,earned_proficiency",
            """
            101    time_terminology 1400000010324490 4 false 2 0 true
            101    multiplication_1 1400000000000000 9 false 0 3 false
            102    multiplication_1 1390000000836660 2 true  1 0 false
            """,
        ),
    ),
    "kdd-cup": table(
        KDD_CUP,
        *(
            row | {"First Transaction Time": row["First Transaction Time"].replace("_", " ")}
            for row in rows_of(
                "Row,Anon Student Id,Problem Name,Step Name,First Transaction Time,Step Duration (sec),"
                "Correct First Attempt,Incorrects,Hints,Corrects,KC(Default)",
                """
                1 stuA P1 R1C1 2006-10-26_09:52:30.0 92 0 2 0 1 -
                2 stuA P1 R1C2 2006-10-26_09:53:41.0 11 1 0 0 1 Units~~Rates
                3 stuA P1 R2C1 2006-10-26_09:53:41.0 -  1 0 0 1 Units
                4 stuA P2 R1C1 2006-10-26_09:53:40.5 5  0 1 3 1 Rates
                5 stuB P2 R1C1 2006-10-20_08:00:00.0 5  1 0 0 1 Rates
                """,
            )
        ),
        delimiter="\t",
    ),
    # https://sharedtask.duolingo.com/2018.html, and the change log of version 4.0 of the data
    "duolingo-slam": """\
# user:learnr1+  countries:CO  days:0.003  client:web  session:lesson  format:reverse_translate  time:9
AAAAbbbb0101  I             PRON    Case=Nom|Number=Sing|Person=1|PronType=Prs|fPOS=PRON++PRP  nsubj       4  0
AAAAbbbb0102  am            VERB    Mood=Ind|Number=Sing|Person=1|Tense=Pres|fPOS=VERB++VBP    cop         4  0
AAAAbbbb0103  a             DET     Definite=Ind|PronType=Art|fPOS=DET++DT                     det         4  1

# prompt:Yo soy un niño.
# user:learnr1+  countries:CO|MX  days:0.001  client:ios  session:practice  format:listen  time:null
AAAAbbbb0201  A             DET     Definite=Ind|PronType=Art|fPOS=DET++DT                     det         2  1

# user:learnr2+  countries:MX  days:1.5  client:web  session:lesson  format:reverse_tap  time:-3
CC/Cdddd0101  am            VERB    Mood=Ind|fPOS=VERB++VBP                                    cop         0  1
""",
}
"""One file per format, except that of EdNet KT1, which is a directory."""

EDNET_FILES = {
    "KT1/u10.csv": f"{EDNET}\n1565332027449,1,q1,b,24000\n1565332057449,2,q2,a,19000\n1565332057449,2,q3,a,19000\n",
    "KT1/u9.csv": f"{EDNET}\n1565400000000,1,q1,c,30000\n1565300000000,2,q1,b,-5\n1565300000001,3,q4,a,1\n"
    "1565300000002,4,q3,,1\n1565300000003,5,q99,a,1\n",
    "contents/questions.csv": f"{EDNET_QUESTIONS}\nq1,b1,e1,b,1,1;2,0\nq2,b2,e2,d,1,3,0\nq3,b2,e2,a,1,2,0\n"
    "q4,b3,e3,a,1,-1,0\n",
}


def write_log(name, directory):
    """Write the log of a format to a directory; return its path."""
    if name != "ednet-kt1":
        path = directory / f"{name}.txt"
        path.write_bytes(LOGS[name].encode("latin-1" if name == "assistments-2009" else "utf-8"))
        return path
    for file, content in EDNET_FILES.items():
        (directory / file).parent.mkdir(exist_ok=True)
        (directory / file).write_text(content)
    return directory / "KT1"
